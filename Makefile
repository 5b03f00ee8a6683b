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

.PHONY: clean
clean: ## remove what was built
	rm -rf build build-*

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
