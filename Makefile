# `make help` lists the targets. V=1 shows full command lines. Everything built goes to build/ (or BUILD=dir).
BUILD   ?= build
PREFIX  ?= /usr/local
CC      ?= cc
LUA     ?= lua5.4
PYTHON  ?= python3
VERSION := $(shell cat .version)

PKG_CONFIG ?= pkg-config
PKGS     = lua5.4 libpq libcrypto
CPPFLAGS += -Isrc -Iinclude -D_GNU_SOURCE -DMIGRATOR_VERSION='"$(VERSION)"' $(shell $(PKG_CONFIG) --cflags $(PKGS) lua5.4-cjson 2>/dev/null)
WARNINGS = -Wall -Wextra -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith -Wformat=2 \
           -Wvla -Werror
CFLAGS  ?= -O2 -g
HARDEN  ?= -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE
LDHARDEN ?= -pie -Wl,-z,relro,-z,now
ALL_CFLAGS = -std=c11 $(WARNINGS) $(CFLAGS) $(HARDEN) $(CPPFLAGS) -MMD -MP
# libpq goes into the binary where the two archives that it needs are at hand (scripts/dev/bootstrap fetches them): the
# shared one loads two dozen libraries at every start. LIBPQ=shared links that: it then gets its fixes without a build of ours.
ARCHIVES := $(firstword $(foreach d,build/libpq /usr/lib/postgresql/15/lib,$(patsubst %/libpgcommon.a,%,$(wildcard $d/libpgcommon.a))))
IS_15   := $(filter 15.%,$(shell $(PKG_CONFIG) --modversion libpq))
LIBPQ   ?= $(if $(and $(ARCHIVES),$(IS_15)),inside,shared)
ifeq ($(LIBPQ),inside)
CPPFLAGS += -DMIG_LIBPQ_INSIDE
PQ_INSIDE = $(BUILD)/obj/libpq.o
PQ_LIBS  = $(PQ_INSIDE) -lssl -lcrypto
else
PQ_LIBS  = $(shell $(PKG_CONFIG) --libs libpq libcrypto)
endif
# Lua and its C modules see one interpreter: ours, inside the binary, with its symbols exported.
LIBS     = -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-cjson.a -l:libpg_query.a \
           $(PQ_LIBS) -lm -ldl -lpthread

SOURCES := $(wildcard src/*.c src/*/*.c)
OBJECTS := $(SOURCES:src/%.c=$(BUILD)/obj/%.o) $(BUILD)/obj/embedded.o
ARGPARSE := $(firstword $(wildcard /usr/share/lua/5.4/argparse.lua /usr/local/share/lua/5.4/argparse.lua))
LUA_SOURCES := $(sort $(shell find lua/migrator -name '*.lua'))
LUA_FILES := $(sort $(shell find lua/meta scripts/*.lua -name '*.lua' 2>/dev/null) $(shell find lua/templates -type f 2>/dev/null))

Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-8s %s\n' '$(1)' '$(2)';)

.PHONY: all
all: $(BUILD)/migrator ## build the program
.DEFAULT_GOAL := all
# A tool that failed half-way leaves nothing that looks made.
.DELETE_ON_ERROR:

$(BUILD)/migrator: $(OBJECTS) $(PQ_INSIDE) $(BUILD)/flags
	$(call say,LINK,$@) $(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) -rdynamic -o $@ $(OBJECTS) $(LIBS)

# Of what is in it only the names that the shared library exports are seen outside: libpg_query has many of the others, too.
$(BUILD)/obj/libpq.o: $(ARCHIVES)/libpgcommon.a $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,LD,$@) $(LD) -r -o $@ --wrap=scram_SaltedPassword --whole-archive $$($(CC) -print-file-name=libpq.a) \
	  --no-whole-archive $(ARCHIVES)/libpgcommon.a $(ARCHIVES)/libpgport.a && \
	  nm -D --defined-only $$($(CC) -print-file-name=libpq.so) | sed -n 's/.* \(PQ[^@]*\).*/\1/p' > $(BUILD)/libpq.names && \
	  objcopy --keep-global-symbols=$(BUILD)/libpq.names $@

# Objects depend on how they were built: changed flags build anew.
.PHONY: force
$(BUILD)/flags: force
	@mkdir -p $(@D); echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' | cmp -s - $@ || echo '$(CC) $(ALL_CFLAGS) $(LDFLAGS)' > $@

$(BUILD)/obj/%.o: src/%.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/embedded.c: scripts/dev/embed.lua $(LUA_SOURCES) $(LUA_FILES) $(ARGPARSE)
	@mkdir -p $(@D)
	$(call say,EMBED,$@) $(LUA) scripts/dev/embed.lua $@ argparse=$(ARGPARSE) \
	  $(foreach f,$(LUA_SOURCES),$(subst /,.,$(patsubst %/init,%,$(patsubst lua/%.lua,%,$(f))))=$(f)) \
	  -- $(foreach f,$(LUA_FILES),$(f)=$(f))

$(BUILD)/obj/embedded.o: $(BUILD)/embedded.c $(BUILD)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<) $(CC) $(ALL_CFLAGS) -c -o $@ $<

-include $(OBJECTS:.o=.d)

# Specs run inside the program, so that it and they are one process for the sanitizers. FILE= and FILTER= narrow any of these.
JOBS ?= $(shell nproc)
SPEC = $(WRAP) $(BUILD)/migrator spec $(if $(FILTER),--filter '$(FILTER)',$(if $(WRAP),,--jobs $(JOBS)))
has = $(wildcard $(addprefix spec/,$(1)))
.PHONY: test test-all test-unit test-pg test-cli test-faults bootstrap
test: bootstrap ## install what is missing, build, run every spec
	@$(MAKE) --no-print-directory test-all

test-all: $(BUILD)/migrator
	@$(SPEC) $(or $(FILE),$(call has,unit bind integration cli faults))

test-unit: $(BUILD)/migrator ## specs without a server
	@$(SPEC) $(or $(FILE),$(call has,unit bind))

test-pg: $(BUILD)/migrator ## specs against a PostgreSQL of their own
	@$(SPEC) $(or $(FILE),$(call has,integration))

test-cli: $(BUILD)/migrator ## specs of the command line, a fresh process each
	@$(SPEC) $(or $(FILE),$(call has,cli))

test-faults: $(BUILD)/migrator ## specs with killed servers and programs
	@$(SPEC) $(or $(FILE),$(call has,faults))

.PHONY: demo
demo: bootstrap ## the sample project through the production pipeline, on a throw-away PostgreSQL
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) scripts/dev/demo

.PHONY: demo-gcp
demo-gcp: bootstrap ## the same with Google's side emulated: identity, secret, the real cloud-sql-proxy
	@$(MAKE) --no-print-directory all
	@BUILD=$(BUILD) scripts/dev/demo-gcp

bootstrap: ## install what is missing from Debian's packages
	@scripts/dev/bootstrap

.PHONY: drizzle-table
drizzle-table: $(BUILD)/migrator ## the table in docs/drizzle.md, from the shared corpora
	@$(BUILD)/migrator dev scripts/dev/drizzle_table.lua

# Variables, not recipes: the same specs, built or run in another way.
.PHONY: asan valgrind
asan: ## every spec under the address and undefined-behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  $(MAKE) --no-print-directory BUILD=build-asan HARDEN= LDHARDEN= \
	  CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -DMIG_LEAK_CHECK' $(or $(TARGET),test-all)

valgrind: ## specs without a server under valgrind
	@$(MAKE) --no-print-directory test-unit BUILD=build-valgrind CFLAGS='-O1 -g -DMIG_LEAK_CHECK' \
	  WRAP='env MIGRATOR_VALGRIND=1 valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9 --child-silent-after-fork=yes'

# Checks that run nothing of the program but its own tools, cheapest first; CI's order is that of `check`.
DEV = MIGRATOR_LUA_PATH=lua $(BUILD)/migrator dev
C_FILES = $(wildcard src/*.c src/*/*.[ch] include/*.h spec/fuzz/*.c)
LUA_TREE = $(shell find lua scripts seeds spec -name '*.lua' -not -path '*/node_modules/*' -not -path 'spec/fixtures/*')
FUZZ_SECONDS ?= 60
.PHONY: check lint arch apicheck docs docs-check tidy fuzz debug
check: ## every check and every spec, in CI's order
	@for target in lint arch apicheck docs-check test-all asan valgrind tidy; do \
	  echo "== $$target"; $(MAKE) --no-print-directory $$target || exit 1; done

lint: $(BUILD)/migrator ## luacheck, syntax, layout, sizes, banned calls
	$(Q)printf '%s\n' $(LUA_TREE) | xargs -n 1 luac5.4 -p
	$(Q)luacheck -q --codes $(LUA_TREE)
	$(Q)if clang-format --version 2>/dev/null | grep -q 'version 14'; then clang-format --dry-run -Werror $(C_FILES); \
	  else echo 'lint: no clang-format 14 here: the layout of C is not checked'; fi
	$(Q)$(DEV) scripts/dev/lint.lua

arch: $(BUILD)/migrator ## who may include and require whom
	$(Q)$(DEV) scripts/dev/arch.lua

apicheck: $(BUILD)/migrator ## the stubs against what is registered, the options against the docs
	$(Q)$(DEV) scripts/dev/apicheck.lua

docs: $(BUILD)/migrator ## write docs/api.md, docs/commands.md and docs/migrator.1
	$(Q)$(DEV) scripts/dev/docs.lua

docs-check: $(BUILD)/migrator
	$(Q)$(DEV) scripts/dev/docs.lua check

tidy: ## clang-tidy over src
	$(Q)printf '%s\n' $(filter %.c,$(C_FILES)) | xargs -P 2 -n 4 sh -c 'clang-tidy --quiet "$$@" -- -std=c11 $(subst ','"'"',$(CPPFLAGS)) 2>/dev/null' tidy

# libFuzzer from the corpus for C, mutations of our own for Lua; what is found is printed with its seed.
fuzz: $(BUILD)/migrator ## FUZZ_SECONDS (60) for each of the splitter, the journal reader and the URL reader
	@mkdir -p $(BUILD)/fuzz/split
	clang -std=c11 -D_GNU_SOURCE -g -O1 -fsanitize=fuzzer,address,undefined -Isrc -o $(BUILD)/fuzz_split spec/fuzz/fuzz_split.c \
	  src/sql/split.c src/sql/utf8.c src/base/err.c -l:libpg_query.a -lpthread
	$(BUILD)/fuzz_split -max_total_time=$(FUZZ_SECONDS) -print_final_stats=0 -artifact_prefix=$(BUILD)/fuzz/ \
	  $(BUILD)/fuzz/split spec/fuzz/corpus/split > $(BUILD)/fuzz/log 2>&1 || { tail -n 40 $(BUILD)/fuzz/log; exit 1; }
	@tail -n 1 $(BUILD)/fuzz/log
	$(DEV) spec/fuzz/fuzz_journal.lua $(FUZZ_SECONDS) $(SEED)
	$(DEV) spec/fuzz/fuzz_url.lua $(FUZZ_SECONDS) $(SEED)

debug: ## build-debug/migrator, unoptimized
	@$(MAKE) --no-print-directory BUILD=build-debug CFLAGS='-O0 -g3' HARDEN= all

# These need more than Debian's packages: npm, for other tools and other servers to compare with.
.PHONY: test-drizzle test-servers bench
test-drizzle: $(BUILD)/migrator ## the real drizzle-orm and drizzle-kit before, after and in turn with us (needs npm)
	@BUILD=$(BUILD) scripts/dev/drizzle/run

test-servers: $(BUILD)/migrator ## PostgreSQL 13 to 18 (needs npm for all but the installed ones)
	@BUILD=$(BUILD) scripts/dev/servers/run

bench: $(BUILD)/migrator ## side by side with the floor and with other tools (scripts/bench/setup installs them); BENCH=--help
	@BUILD=$(BUILD) scripts/bench/run $(BENCH)

.PHONY: install deb dist
SHARE = $(DESTDIR)$(PREFIX)/share
install: $(BUILD)/migrator ## program, manual page, completions, header and stubs to PREFIX (DESTDIR is put before it)
	install -D -m 755 $(BUILD)/migrator $(DESTDIR)$(PREFIX)/bin/migrator
	install -D -m 644 docs/migrator.1 $(SHARE)/man/man1/migrator.1
	install -D -m 644 include/migrator.h $(DESTDIR)$(PREFIX)/include/migrator.h
	install -d $(SHARE)/migrator/types
	install -m 644 lua/meta/*.lua $(SHARE)/migrator/types/
	install -d $(SHARE)/bash-completion/completions $(SHARE)/zsh/site-functions $(SHARE)/fish/vendor_completions.d
	$(BUILD)/migrator completion bash > $(SHARE)/bash-completion/completions/migrator
	$(BUILD)/migrator completion zsh > $(SHARE)/zsh/site-functions/_migrator
	$(BUILD)/migrator completion fish > $(SHARE)/fish/vendor_completions.d/migrator.fish

deb: $(BUILD)/migrator ## a Debian package in BUILD
	@rm -rf $(BUILD)/deb
	@$(MAKE) --no-print-directory install PREFIX=/usr DESTDIR=$(BUILD)/deb/root >/dev/null
	@scripts/dev/deb $(BUILD)/deb $(VERSION)

dist: ## the sources of HEAD as a tar.gz in BUILD
	@mkdir -p $(BUILD)
	git archive --prefix=migrator-$(VERSION)/ -o $(BUILD)/migrator-$(VERSION).tar.gz HEAD

.PHONY: clean
clean: ## remove what was built
	rm -rf build build-*

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
