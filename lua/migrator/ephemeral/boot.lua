---The two shell scripts of a throw-away server. They run as the user of the server, so that every folder is that user's from the
---start and no other is trusted; and below a guard, so that what they made is removed however early it ends.
local M = {}

---Makes the cluster and becomes the server.
---Arguments: its folder, folder of templates or "", family, key, 1 to distrust the template, folder of the programs, options.
M.START = [==[
umask 077
dir=$1 root=$2 family=$3 key=$4 distrust=$5 bin=$6
shift 6
mkdir -- "$dir" || exit 125
exec >"$dir/log" 2>&1

mine() { [ -d "$1" ] && [ ! -L "$1" ] && [ -O "$1" ] && [ "$(stat -c %a -- "$1")" = 700 ]; }
usable() { mkdir -p -m 700 -- "$1" 2>/dev/null; mine "$1" && [ -w "$1" ]; }
whole() { mine "$1" && [ -s "$1/PG_VERSION" ] && [ -s "$1/global/pg_control" ] && [ -s "$1/postgresql.conf" ]; }
copy() { cp -a --reflink=auto -- "$1" "$2" 2>/dev/null || cp -a -- "$1" "$2"; }
init() { "$bin/initdb" -D "$dir/data" -U postgres -A trust -E UTF8 --locale="$1" --no-sync --wal-segsize=4; }
make() { init C.UTF-8 || { rm -rf -- "$dir/data"; init C; }; }

# Built aside, then one rename. Whoever loses a race throws its own away.
keep() {
  for old in "$root/$family-"*; do
    case $old in "$root/$key"*) ;; *) rm -rf -- "$old" ;; esac
  done
  find "$root" -mindepth 1 -maxdepth 1 \( -name '*.part*' -mmin +30 -o -mtime +30 \) -exec rm -rf -- {} +
  part=$root/$key.part-${dir##*-}
  if [ -n "$distrust" ] || ! whole "$root/$key"; then
    mv -T -- "$root/$key" "$part.old" 2>/dev/null && rm -rf -- "$part.old"
    copy "$dir/data" "$part" && mv -T -- "$part" "$root/$key" || rm -rf -- "$part"
  fi
}

usable "$root" || { root=/tmp/migrator-cache-$(id -u); usable "$root" || root=; }
if [ -z "$distrust" ] && [ -n "$root" ] && whole "$root/$key" && copy "$root/$key" "$dir/data"; then
  touch -c -- "$root/$key" # what nobody used for a month is removed
else
  rm -rf -- "$dir/data"
  make || exit 126
  [ -z "$root" ] || keep
  : >"$dir/log"
fi
exec "$bin/postgres" -D "$dir/data" "$@"
]==]

---What is left of it: the folder, and the shared memory segment of a server that was killed with SIGKILL, which
---postmaster.pid names last in its seventh line.
M.CLEAN = [==[
id=$(sed -n '7s/.* //p' "$1/data/postmaster.pid" 2>/dev/null)
[ -z "$id" ] || ipcrm -m "$id" 2>/dev/null
for pause in 0.1 0.3 1 1; do
  rm -rf -- "$1" 2>/dev/null && exit
  sleep "$pause"
done
]==]

return M
