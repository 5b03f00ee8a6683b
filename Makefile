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
# Lua and its C modules see one interpreter: ours, inside the binary, with its symbols exported.
LIBS     = -Wl,--whole-archive -l:liblua5.4.a -Wl,--no-whole-archive -l:liblua5.4-cjson.a -l:libpg_query.a \
           $(shell $(PKG_CONFIG) --libs libpq libcrypto) -lm -ldl -lpthread

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

$(BUILD)/migrator: $(OBJECTS) $(BUILD)/flags
	$(call say,LINK,$@) $(CC) $(CFLAGS) $(LDHARDEN) $(LDFLAGS) -rdynamic -o $@ $(OBJECTS) $(LIBS)

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
SPEC = $(WRAP) $(BUILD)/migrator spec $(if $(FILTER),--filter '$(FILTER)')
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

bootstrap: ## install what is missing from Debian's packages
	@scripts/dev/bootstrap

# Variables, not recipes: the same specs, built or run in another way.
.PHONY: asan valgrind
asan: ## every spec under the address and undefined-behaviour sanitizers
	@ASAN_OPTIONS=detect_leaks=1:abort_on_error=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1 \
	  $(MAKE) --no-print-directory BUILD=build-asan HARDEN= LDHARDEN= \
	  CFLAGS='-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined' $(or $(TARGET),test-all)

valgrind: ## specs without a server under valgrind
	@$(MAKE) --no-print-directory test-unit \
	  WRAP='valgrind -q --leak-check=full --errors-for-leak-kinds=definite --error-exitcode=9 --child-silent-after-fork=yes'

.PHONY: clean
clean: ## remove what was built
	rm -rf build build-*

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
