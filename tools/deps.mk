# SPDX-License-Identifier: Apache-2.0
# Builds the libraries of tools/deps.lock for one variant into build/deps/<variant>/{include,lib}, once:
# the stamp's name is the digest of everything that decides the result.
#
#   make -f tools/deps.mk VARIANT=x86_64|aarch64|asan|tsan [CROSS=...]
#
# Every library's allocator calls are renamed to heap_<library>_malloc and so on (platform/heap.c), and its files to
# heap_nofile_open: nothing third-party reaches the libc's heap. Not in sanitizer variants, which want to see each call.
include tools/variant.mk

JOBS    := $(shell nproc)
ifeq ($(MAKELEVEL),0)
MAKEFLAGS += -j$(JOBS)
endif
DEPS    := build/deps/$(VARIANT)
WORK    := $(CURDIR)/build/obj/deps/$(VARIANT)
ROOT    := $(WORK)/root
SRC     := $(CURDIR)/build/src
CONFIG  := $(CURDIR)/tools/deps.d
INPUTS  := tools/deps.lock tools/deps.mk tools/variant.mk $(sort $(wildcard tools/deps.d/*))
KEY     := $(shell { cat $(INPUTS); $(CC_BASE) --version; } 2>/dev/null | sha256sum | cut -c1-16)
SRCKEY  := $(shell cat tools/deps.lock tools/deps | sha256sum | cut -c1-16)
PLAIN   := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u CROSS -u VARIANT -u ARCH

# A linked build/deps belongs to another tree: its libraries are used as they are.
ifneq ($(wildcard $(DEPS)/$(KEY).stamp)$(and $(shell test -L build/deps && echo linked),$(wildcard $(DEPS)/cflags)),)
all: ; @:
else
all: $(DEPS)/$(KEY).stamp
endif

$(DEPS)/$(KEY).stamp: $(SRC)/$(SRCKEY).stamp
	@echo "deps: building the libraries for $(VARIANT) (about a minute; once)"
	@rm -rf $(WORK) && mkdir -p $(ROOT)/include $(ROOT)/lib
	@$(MBEDTLS_REPAIR)
	@for step in $(if $(SAN),,musl) libs; do \
	  $(MAKE) --no-print-directory -f tools/deps.mk VARIANT=$(VARIANT) CROSS=$(CROSS) $$step || exit 1; done
	@mkdir -p build/deps && rm -rf $(DEPS).new && cp -a $(ROOT) $(DEPS).new
	@sed 's#@ROOT@#$(realpath build)/deps/$(VARIANT)#g' $(CONFIG)/musl.specs.in > $(DEPS).new/musl.specs
	@printf '%s\n' $(USE) > $(DEPS).new/cflags
	@touch $(DEPS).new/$(KEY).stamp && rm -rf $(DEPS) && mv $(DEPS).new $(DEPS) && rm -rf $(WORK)

$(SRC)/$(SRCKEY).stamp:
	@tools/deps unpack $(SRC)
	@cd $(SRC)/sqlite3 && { [ -f sqlite3.c ] || $(SQLITE_AMALGAMATE); }
	@touch $@

# mbedTLS 3.6.6 refuses a TLS 1.2 server's RSA-PSS signature although it offers to take one (its pull request 10674, in later
# releases, mends it): TLS 1.2 servers with an RSA key that prefer their own order could not be reached. A repaired or later
# source has no such line.
MBEDTLS_REPAIR = sed -i 's/if (!mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg)) {/if (*pk_alg != MBEDTLS_PK_RSASSA_PSS \&\& \
!mbedtls_ssl_sig_alg_is_supported(ssl, sig_alg)) {/' $(SRC)/mbedtls/library/ssl_tls12_client.c

# SQLite's source tree, unlike its release archive, has no amalgamation yet: made with the host's compiler and tclsh after
# the tree was checked against SQLite's own manifest.
SQLITE_AMALGAMATE = { mkdir -p am && cd am && gcc -O1 -w -o verify ../tool/src-verify.c && { ./verify .. | grep -q ^OK || { echo "SQLite's sources fail their own check" >&2; exit 1; }; } && \
	$(PLAIN) $(MAKE) -s -f ../main.mk TOP=.. BCC="gcc -O1 -w" TCC=gcc NAWK=awk EXE= OPTS= sqlite3.c > /dev/null && \
	mv sqlite3.c sqlite3.h .. ; }

# What a compiler needs to use the libraries: also as `gcc @build/deps/<variant>/cflags`.
USE := $(if $(SAN),,-specs=$(realpath build)/deps/$(VARIANT)/musl.specs) -isystem $(realpath build)/deps/$(VARIANT)/include \
	-DMBEDTLS_CONFIG_FILE='"\"larder_mbedtls.h\""' -DYAML_DECLARE_STATIC -DCARES_STATICLIB -DZ_SOLO -DHAVE_UINTPTR_T=1

# --- the C library
.PHONY: all musl libs
LINUX := $(if $(TOOL),/usr/$(GNU)/include,/usr/include)
ASM   := $(if $(TOOL),/usr/$(GNU)/include/asm,/usr/include/$(GNU)/asm)
musl:
	@mkdir -p $(WORK)/musl && cd $(WORK)/musl && CC="$(CC_BASE)" AR="$(TOOL)ar" RANLIB="$(TOOL)ranlib" \
	  CFLAGS="-O2 -g1 -w -fPIE $(TUNE_$(ARCH)) -ffile-prefix-map=$(SRC)=deps" $(SRC)/musl/configure --quiet --target=$(TARGET) \
	  --prefix=$(ROOT) --syslibdir=$(ROOT)/lib --disable-shared --disable-wrapper > /dev/null
	+@$(PLAIN) $(MAKE) -s -j$(JOBS) -C $(WORK)/musl install-libs install-headers
	@for h in linux asm-generic mtd; do ln -sfn $(LINUX)/$$h $(ROOT)/include/$$h; done; ln -sfn $(ASM) $(ROOT)/include/asm
	@sed 's#@ROOT@#$(ROOT)#g' $(CONFIG)/musl.specs.in > $(ROOT)/musl.specs

# --- the libraries: sources, own flags, public headers
LIBS := mbedtls lmdb sqlite zstd z yyjson picohttpparser yaml cares cmocka
ifneq ($(filter-out $(MACHINE),$(ARCH)),)
LIBS += lmdb_plain
endif
HEAP_mbedtls := mbedtls
HEAP_lmdb    := lmdb
HEAP_lmdb_plain := lmdb
HEAP_sqlite  := sqlite
HEAP_zstd    := zstd
HEAP_z       := zlib
HEAP_yyjson  := yyjson
HEAP_yaml    := yaml
HEAP_cares   := cares

mbedtls_C := $(wildcard $(SRC)/mbedtls/library/*.c)
mbedtls_F := -I$(CONFIG) -I$(SRC)/mbedtls/include -I$(SRC)/mbedtls/library -DMBEDTLS_CONFIG_FILE='"larder_mbedtls.h"'
mbedtls_H := $(SRC)/mbedtls/include/mbedtls $(SRC)/mbedtls/include/psa $(CONFIG)/larder_mbedtls.h

lmdb_C := $(SRC)/lmdb/libraries/liblmdb/mdb.c $(SRC)/lmdb/libraries/liblmdb/midl.c
lmdb_F := -pthread -DMDB_USE_ROBUST=1
lmdb_H := $(SRC)/lmdb/libraries/liblmdb/lmdb.h
# for tests under user-mode emulation, which has no robust mutexes
lmdb_plain_C := $(lmdb_C)
lmdb_plain_F := -pthread -DMDB_USE_ROBUST=0

# ZERO_MALLOC: there is no default allocator; sqlite3_config(SQLITE_CONFIG_HEAP) must come first (MEMSYS5)
sqlite_C := $(SRC)/sqlite3/sqlite3.c
sqlite_F := -DSQLITE_THREADSAFE=1 -DSQLITE_DQS=0 -DSQLITE_OMIT_LOAD_EXTENSION -DSQLITE_ENABLE_FTS5 -DSQLITE_TEMP_STORE=2 \
	-DSQLITE_DEFAULT_WAL_SYNCHRONOUS=1 -DSQLITE_ENABLE_MEMSYS5 $(if $(SAN),,-DSQLITE_ZERO_MALLOC) -DSQLITE_OMIT_DEPRECATED \
	-DSQLITE_LIKE_DOESNT_MATCH_BLOBS -DSQLITE_OMIT_LOCALTIME -DSQLITE_MAX_EXPR_DEPTH=200 -DHAVE_USLEEP=1
sqlite_H := $(SRC)/sqlite3/sqlite3.h

zstd_C := $(wildcard $(SRC)/zstd/lib/common/*.c $(SRC)/zstd/lib/compress/*.c $(SRC)/zstd/lib/decompress/*.c)
zstd_F := -DZSTD_DISABLE_ASM -DZSTD_LEGACY_SUPPORT=0 -DXXH_NAMESPACE=ZSTD_
zstd_H := $(SRC)/zstd/lib/zstd.h $(SRC)/zstd/lib/zstd_errors.h

z_C := $(foreach f,adler32 crc32 deflate inffast inflate inftrees trees zutil,$(SRC)/zlib/$f.c)
z_F := -DZ_SOLO
z_H := $(SRC)/zlib/zlib.h $(SRC)/zlib/zconf.h

yyjson_C := $(SRC)/yyjson/src/yyjson.c
yyjson_F := -DYYJSON_DISABLE_NON_STANDARD=1
yyjson_H := $(SRC)/yyjson/src/yyjson.h

picohttpparser_C := $(SRC)/picohttpparser/deps/picohttpparser/picohttpparser.c
picohttpparser_H := $(SRC)/picohttpparser/deps/picohttpparser/picohttpparser.h

yaml_C := $(wildcard $(SRC)/libyaml/src/*.c)
yaml_F := -I$(SRC)/libyaml/include -DYAML_DECLARE_STATIC -DYAML_VERSION_STRING='"0.2.5"' -DYAML_VERSION_MAJOR=0 \
	-DYAML_VERSION_MINOR=2 -DYAML_VERSION_PATCH=5
yaml_H := $(SRC)/libyaml/include/yaml.h

cares_C := $(filter-out %win.c %win32.c %mac.c %android.c %kqueue.c %windows_port.c, \
	$(wildcard $(SRC)/c-ares/src/lib/*.c $(SRC)/c-ares/src/lib/*/*.c))
cares_F := -I$(CONFIG) -I$(SRC)/c-ares/include -I$(SRC)/c-ares/src/lib -I$(SRC)/c-ares/src/lib/include -DHAVE_CONFIG_H \
	-D_GNU_SOURCE -DCARES_STATICLIB -DCARES_BUILDING_LIBRARY
cares_H := $(wildcard $(SRC)/c-ares/include/*.h)

cmocka_C := $(SRC)/cmocka/src/cmocka.c
cmocka_F := -I$(SRC)/cmocka/include -DHAVE_UINTPTR_T=1 -DHAVE_CONFIG_H -I$(WORK)
cmocka_H := $(SRC)/cmocka/include/cmocka.h

heap = $(if $(or $(SAN),$(if $1,,none)),,$(foreach f,malloc calloc realloc free strdup,-D$f=heap_$1_$f) \
	-Dposix_memalign=heap_$1_memalign -Dfopen=heap_nofile_open -Dfclose=heap_nofile_close)
LIBCC := $(CC_BASE) $(if $(SAN),,-specs=$(ROOT)/musl.specs) $(CODE) -std=gnu11 -w -ffile-prefix-map=$(SRC)=deps

define library
$1_O := $$(patsubst $(SRC)/%.c,$(WORK)/$1/%.o,$$($1_C))
$(ROOT)/lib/lib$1.a: $$($1_O)
	@$(AR) rcsD $$@ $$^
	@$$(if $$($1_H),cp -r $$($1_H) $(ROOT)/include/)
$(WORK)/$1/%.o: $(SRC)/%.c $(WORK)/config.h
	@mkdir -p $$(@D)
	@$(LIBCC) $(call heap,$(HEAP_$1)) $$($1_F) -c -o $$@ $$<
libs: $(ROOT)/lib/lib$1.a
endef
$(foreach l,$(LIBS),$(eval $(call library,$l)))
$(WORK)/config.h: $(CONFIG)/cmocka_config.h
	@mkdir -p $(@D) && cp $< $@
