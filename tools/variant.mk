# SPDX-License-Identifier: Apache-2.0
# What a variant is: an architecture (static program on musl, gcc) or a sanitizer (this machine's libc, clang).
# Read by the Makefile and by tools/deps.mk.
#
#   CROSS=aarch64-linux-musl   another architecture; without it this machine's
#   VARIANT=asan|tsan          a sanitizer build of the same sources

ifneq ($(filter-out x86_64-linux-musl aarch64-linux-musl,$(CROSS)),)
$(error CROSS=$(CROSS): x86_64-linux-musl and aarch64-linux-musl are known)
endif

MACHINE := $(shell uname -m)
ARCH    := $(if $(CROSS),$(firstword $(subst -, ,$(CROSS))),$(MACHINE))
VARIANT ?= $(ARCH)
SAN     := $(filter asan tsan,$(VARIANT))

TUNE_x86_64  := -march=x86-64 -mtune=generic
TUNE_aarch64 := -march=armv8-a -mtune=cortex-a72
TARGET       := $(ARCH)-linux-musl
GNU          := $(ARCH)-linux-gnu
TOOL         := $(if $(filter $(ARCH),$(MACHINE)),,$(GNU)-)

# -fuzzer-no-link: the same objects serve the tests and the fuzz targets
SAN_asan := -fsanitize=address,fuzzer-no-link
SAN_tsan := -fsanitize=thread

ifeq ($(SAN),)
CC_BASE := $(TOOL)gcc
AR      := $(TOOL)gcc-ar
STRIP   := $(TOOL)strip
CODE    := -O2 -g1 $(TUNE_$(ARCH)) -fPIE -ffunction-sections -fdata-sections -fstack-protector-strong
else
CC_BASE := clang
AR      := ar
STRIP   := strip
CODE    := -O1 -g -fno-omit-frame-pointer $(SAN_$(SAN))
endif
