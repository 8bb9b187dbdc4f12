/* SPDX-License-Identifier: Apache-2.0 */
/* tests/unit/test_model_import.c — published files in: folders, packages, digests, and everything that may be wrong. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "app/model/command.h"
#include "app/model/quantise.h"
#include "app/model/safetensors.h"
#include "app/model/zip.h"
#include "platform/compress.h"
#include "platform/file.h"
#include "platform/rc.h"
#include "tests/support/guard_page.h"
#include "tests/support/model_test.h"

enum { ZIP_MAX = 512 << 10, SCRATCH = 64 << 10, WEIGHTS_ROOM = 512 << 10 };

/* ---- a writer of zip archives (stored, or with bytes that somebody else deflated) */

struct writer {
    unsigned char bytes[ZIP_MAX];
    unsigned char directory[1024];
    size_t size, directory_size;
    unsigned count;
};

static struct writer zip;

static void put(unsigned char *to, size_t *size, const void *data, size_t count)
{
    memcpy(to + *size, data, count);
    *size += count;
}

static void put_number(unsigned char *to, size_t *size, uint32_t value, unsigned width)
{
    for (unsigned i = 0; i < width; i++) to[(*size)++] = (unsigned char)(value >> 8 * i);
}

static void add_file(const char *name, unsigned method, const void *packed, size_t packed_size, size_t size)
{
    uint32_t at = (uint32_t)zip.size;
    unsigned length = (unsigned)strlen(name);
    const uint32_t sizes[] = {0 /* crc */, (uint32_t)packed_size, (uint32_t)size};
    assert_true(zip.size + packed_size + 128 < ZIP_MAX);
    put(zip.bytes, &zip.size, "PK\3\4\24\0\0\0", 8);
    put_number(zip.bytes, &zip.size, method, 2);
    put_number(zip.bytes, &zip.size, 0, 4);
    for (unsigned i = 0; i < 3; i++) put_number(zip.bytes, &zip.size, sizes[i], 4);
    put_number(zip.bytes, &zip.size, length, 2);
    put_number(zip.bytes, &zip.size, 3, 2); /* an extra field that the directory does not have */
    put(zip.bytes, &zip.size, name, length);
    put(zip.bytes, &zip.size, "xyz", 3);
    put(zip.bytes, &zip.size, packed, packed_size);
    put(zip.directory, &zip.directory_size, "PK\1\2\24\0\24\0\0\0", 10);
    put_number(zip.directory, &zip.directory_size, method, 2);
    put_number(zip.directory, &zip.directory_size, 0, 4);
    for (unsigned i = 0; i < 3; i++) put_number(zip.directory, &zip.directory_size, sizes[i], 4);
    put_number(zip.directory, &zip.directory_size, length, 2);
    put_number(zip.directory, &zip.directory_size, 0, 4);
    put_number(zip.directory, &zip.directory_size, 0, 4);
    put_number(zip.directory, &zip.directory_size, 0, 4);
    put_number(zip.directory, &zip.directory_size, at, 4);
    put(zip.directory, &zip.directory_size, name, length);
    zip.count++;
}

static struct span end_zip(void)
{
    uint32_t at = (uint32_t)zip.size, size = (uint32_t)zip.directory_size;
    put(zip.bytes, &zip.size, zip.directory, zip.directory_size);
    put(zip.bytes, &zip.size, "PK\5\6\0\0\0\0", 8);
    put_number(zip.bytes, &zip.size, zip.count, 2);
    put_number(zip.bytes, &zip.size, zip.count, 2);
    put_number(zip.bytes, &zip.size, size, 4);
    put_number(zip.bytes, &zip.size, at, 4);
    put_number(zip.bytes, &zip.size, 7, 2);
    put(zip.bytes, &zip.size, "comment", 7);
    return span_of((const char *)zip.bytes, zip.size);
}

static void begin_zip(void)
{
    zip.size = zip.directory_size = 0;
    zip.count = 0;
}

/* PLAIN three times, as another implementation deflates it. */
#define PLAIN "to be or not to be, that is to be or not to be\n"
static const unsigned char deflated[] = {0x2b, 0xc9, 0x57, 0x48, 0x4a, 0x55, 0xc8, 0x2f, 0x52, 0xc8, 0xcb, 0x2f,
                                         0x51, 0x28, 0x01, 0x71, 0x74, 0x14, 0x4a, 0x32, 0x12, 0x4b, 0x14, 0x32,
                                         0x8b, 0x21, 0x5c, 0x14, 0x39, 0xae, 0x12, 0x9a, 0x2a, 0x07, 0x00};
static const char plain[] = PLAIN PLAIN PLAIN;
enum { PLAIN_SIZE = sizeof plain - 1 };

static struct span small_zip(void)
{
    begin_zip();
    add_file("a/first.txt", 0, "stored", 6, 6);
    add_file("a/second.txt", 8, deflated, sizeof deflated, PLAIN_SIZE);
    return end_zip();
}

static void test_stored_and_deflated_files(void **state)
{
    struct zip opened;
    struct zip_file file;
    char out[PLAIN_SIZE];
    (void)state;
    struct span archive = guarded(small_zip());
    assert_int_equal(zip_open(archive, &opened), RC_OK);
    assert_int_equal(zip_find(&opened, SPAN("first.txt"), &file), RC_OK);
    assert_int_equal(file.size, 6);
    assert_int_equal(zip_read(&opened, &file, out), RC_OK);
    assert_memory_equal(out, "stored", 6);
    assert_int_equal(zip_find(&opened, SPAN("second.txt"), &file), RC_OK);
    assert_int_equal(file.size, PLAIN_SIZE);
    assert_int_equal(zip_read(&opened, &file, out), RC_OK);
    assert_memory_equal(out, plain, PLAIN_SIZE);
    assert_int_equal(zip_find(&opened, SPAN("third.txt"), &file), RC_NOT_FOUND);
}

/* Whatever was cut off or changed: a result, and nothing read outside. */
static void read_all(struct span archive)
{
    struct zip opened;
    struct zip_file file;
    static char out[1 << 16];
    if (zip_open(guarded(archive), &opened) != RC_OK) return;
    if (zip_find(&opened, SPAN("first.txt"), &file) == RC_OK && file.size <= sizeof out)
        (void)zip_read(&opened, &file, out);
    if (zip_find(&opened, SPAN("second.txt"), &file) == RC_OK && file.size <= sizeof out)
        (void)zip_read(&opened, &file, out);
}

static void test_damaged_archives(void **state)
{
    struct zip opened;
    (void)state;
    struct span archive = small_zip();
    for (size_t size = 0; size < archive.size; size++) {
        assert_int_not_equal(zip_open(guarded(span_of(archive.data, size)), &opened), RC_OK);
        read_all(span_of(archive.data + archive.size - size, size));
    }
    for (size_t i = 0; i < archive.size; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            zip.bytes[i] ^= (unsigned char)(1 << bit);
            read_all(archive);
            zip.bytes[i] ^= (unsigned char)(1 << bit);
        }
}

static int read_one(unsigned method, const void *packed, size_t packed_size, size_t size)
{
    struct zip opened;
    struct zip_file file;
    static char out[1 << 12];
    begin_zip();
    add_file("f", method, packed, packed_size, size);
    assert_int_equal(zip_open(guarded(end_zip()), &opened), RC_OK);
    assert_int_equal(zip_find(&opened, SPAN("f"), &file), RC_OK);
    return zip_read(&opened, &file, out);
}

static void test_sizes_that_are_not_true(void **state)
{
    (void)state;
    assert_int_equal(read_one(8, deflated, sizeof deflated, PLAIN_SIZE), RC_OK);
    assert_int_equal(read_one(8, deflated, sizeof deflated, PLAIN_SIZE - 1), RC_TOO_LARGE);
    assert_int_equal(read_one(8, deflated, sizeof deflated, PLAIN_SIZE + 1), RC_INVALID);
    assert_int_equal(read_one(8, deflated, sizeof deflated - 2, PLAIN_SIZE), RC_INVALID);
    assert_int_equal(read_one(0, "abc", 3, 4), RC_INVALID);
    assert_int_equal(read_one(0, "", 0, 0), RC_OK);
    assert_int_equal(read_one(12, "abc", 3, 3), RC_UNSUPPORTED);
}

/* ---- safetensors */

static struct span tensors_with(const char *header, size_t data)
{
    static _Alignas(8) char bytes[4096];
    uint64_t size = strlen(header);
    memcpy(bytes, &size, sizeof size);
    memcpy(bytes + 8, header, size);
    memset(bytes + 8 + size, 0, data);
    return span_of(bytes, 8 + size + data);
}

static int find_in(const char *header, size_t data, uint64_t rows, uint64_t columns)
{
    static _Alignas(16) char memory[SCRATCH];
    struct json_scratch scratch = {memory, sizeof memory};
    struct safetensors tensors;
    const float *values;
    int rc = safetensors_open(tensors_with(header, data), &scratch, &tensors);
    return rc == RC_OK ? safetensors_find(&tensors, "t", rows, columns, &values) : RC_CORRUPT;
}

#define TENSOR(type, shape, offsets) \
    "{\"t\":{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" offsets "}} "

static void test_tensors(void **state)
{
    (void)state;
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "[0,24]") "  ", 24, 2, 3), RC_OK);
    assert_int_equal(find_in(TENSOR("F32", "[6]", "[0,24]") "    ", 24, 6, 0), RC_OK);
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "[0,24]") "  ", 23, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "[0,20]") "  ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "[24,0]") "  ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "[-24,0]") " ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[3,2]", "[0,24]") "  ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[6]", "[0,24]") "    ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F16", "[2,3]", "[0,24]") "  ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in(TENSOR("F32", "[2,3]", "7") "       ", 24, 2, 3), RC_INVALID);
    assert_int_equal(find_in("{\"u\":1}", 0, 1, 0), RC_NOT_FOUND);
    assert_int_equal(find_in("[]", 0, 1, 0), RC_CORRUPT);
    assert_int_equal(find_in("{", 0, 1, 0), RC_CORRUPT);
}

static void test_lengths_of_safetensors(void **state)
{
    static _Alignas(16) char memory[SCRATCH];
    struct json_scratch scratch = {memory, sizeof memory};
    struct safetensors tensors;
    (void)state;
    struct span file = tensors_with("{\"a\":1}", 0);
    for (size_t size = 0; size < file.size; size++)
        assert_int_equal(safetensors_open(guarded(span_of(file.data, size)), &scratch, &tensors), RC_INVALID);
    assert_int_equal(safetensors_open(guarded(file), &scratch, &tensors), RC_OK);
    memset((char *)(uintptr_t)file.data, 0xFF, 8);
    assert_int_equal(safetensors_open(guarded(file), &scratch, &tensors), RC_INVALID);
}

/* ---- quantising */

static void test_rounding(void **state)
{
    static const float weights[] = {127, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -126.5F, 0};
    static const int8_t wanted[] = {127, 0, 2, 2, 0, -2, -126, 0};
    int8_t q[8];
    float scale;
    (void)state;
    assert_int_equal(quantise_rows(weights, 1, 8, q, &scale), RC_OK);
    assert_true(scale == 1);
    assert_memory_equal(q, wanted, sizeof q);
    static const float zeros[4] = {0}, wrong[][2] = {{1, (float)INFINITY}, {(float)NAN, 1}};
    assert_int_equal(quantise_rows(zeros, 1, 4, q, &scale), RC_OK);
    assert_true(scale == 0 && q[0] == 0 && q[3] == 0);
    for (unsigned i = 0; i < 2; i++) assert_int_equal(quantise_rows(wrong[i], 1, 2, q, &scale), RC_INVALID);
}

/* ---- whole imports */

static char folder[] = "/tmp/larder-import-XXXXXX", in[64], package[64], out[64];

static void write_in(const char *name, struct span bytes)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", in, name);
    assert_int_equal(file_replace(path, bytes.data, bytes.size, 0600), RC_OK);
}

static int import_words(const char *source, const char *any)
{
    char *words[] = {"import", (char *)(uintptr_t)source, "-o", out, (char *)(uintptr_t)any};
    return model_command(any ? 5 : 4, words);
}

static void read_out(char *bytes, size_t capacity, size_t *size)
{
    assert_int_equal(file_read(out, bytes, capacity, size), RC_OK);
}

static void test_a_folder_and_a_package_make_the_same_file(void **state)
{
    static char first[WEIGHTS_ROOM], second[WEIGHTS_ROOM];
    size_t first_size, second_size;
    struct stat status;
    (void)state;
    struct model_source source = model_test_source();
    write_in("model.safetensors", source.weights);
    write_in("vocab.txt", source.vocabulary);
    write_in("config.json", source.config);
    assert_int_equal(import_words(in, NULL), 1); /* other digests than the known ones */
    assert_int_equal(stat(out, &status), -1);
    assert_int_equal(import_words(in, "--any"), 0);
    read_out(first, sizeof first, &first_size);
    begin_zip();
    add_file("p/1_Pooling/config.json", 0, "{}", 2, 2);
    add_file("p/model.safetensors", 0, source.weights.data, source.weights.size, source.weights.size);
    add_file("p/vocab.txt", 0, source.vocabulary.data, source.vocabulary.size, source.vocabulary.size);
    add_file("p/config.json", 0, source.config.data, source.config.size, source.config.size);
    struct span archive = end_zip();
    assert_int_equal(file_replace(package, archive.data, archive.size, 0600), RC_OK);
    assert_int_equal(import_words(package, "--any"), 0);
    read_out(second, sizeof second, &second_size);
    assert_int_equal(first_size, second_size);
    assert_memory_equal(first, second, first_size);
    char *show[] = {"show", out};
    assert_int_equal(model_command(2, show), 0);
}

static void fails_and_keeps(const char *what)
{
    static char before[WEIGHTS_ROOM], after[WEIGHTS_ROOM];
    size_t before_size, after_size;
    read_out(before, sizeof before, &before_size);
    if (import_words(in, "--any") != 1) fail_msg("%s: imported", what);
    read_out(after, sizeof after, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
}

static void test_wrong_files_are_refused_and_the_old_model_stays(void **state)
{
    (void)state;
    struct model_source source = model_test_source();
    write_in("config.json", SPAN("{\"model_type\": \"roberta\", \"hidden_act\": \"gelu\"}"));
    fails_and_keeps("another architecture");
    write_in("config.json", SPAN("{\"model_type\": \"bert\", \"hidden_act\": \"gelu\", \"hidden_size\": 32}"));
    fails_and_keeps("numbers missing");
    write_in("config.json", source.config);
    write_in("vocab.txt", SPAN("[UNK]\n[CLS]\n"));
    fails_and_keeps("no [SEP]");
    write_in("vocab.txt", SPAN("[UNK]\n[CLS]\n[SEP]\na\na\n"));
    fails_and_keeps("a piece twice");
    write_in("vocab.txt", span_of(source.vocabulary.data, source.vocabulary.size - 2));
    fails_and_keeps("a piece fewer than vectors");
    write_in("vocab.txt", source.vocabulary);
    ((float *)(uintptr_t)model_test_tensor("embeddings.LayerNorm.bias", MODEL_TEST_DIM))[3] = (float)NAN;
    write_in("model.safetensors", source.weights);
    fails_and_keeps("not a number");
    source = model_test_source();
    write_in("model.safetensors", span_of(source.weights.data, source.weights.size - 4));
    fails_and_keeps("weights cut off");
    write_in("model.safetensors", source.weights);
    assert_int_equal(import_words(in, "--any"), 0);
}

static void test_usage(void **state)
{
    char *none[] = {"import"}, *two[] = {"import", "a", "b"}, *unknown[] = {"import", "--all", "x"}, *verb[] = {"make"};
    char *missing[] = {"import", "/nowhere/at/all"}, *text[] = {"import", in}, *show[] = {"show", in};
    (void)state;
    assert_int_equal(model_command(0, none), 2);
    assert_int_equal(model_command(1, none), 2);
    assert_int_equal(model_command(3, two), 2);
    assert_int_equal(model_command(3, unknown), 2);
    assert_int_equal(model_command(1, verb), 2);
    assert_int_equal(model_command(2, missing), 1);
    snprintf(in, sizeof in, "%s/in/config.json", folder);
    assert_int_equal(model_command(2, text), 1); /* neither folder nor package */
    assert_int_equal(model_command(2, show), 1);
}

static int begin(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return -1;
    snprintf(in, sizeof in, "%s/in", folder);
    snprintf(package, sizeof package, "%s/p.whl", folder);
    snprintf(out, sizeof out, "%s/new/m.lmodel", folder);
    return compress_reserve(1 << 16) == RC_OK ? mkdir(in, 0700) : -1;
}

static int end(void **state)
{
    static const char *const names[] = {"in/model.safetensors", "in/vocab.txt", "in/config.json", "p.whl",
                                        "new/m.lmodel"};
    char path[128];
    (void)state;
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        unlink(path);
    }
    snprintf(path, sizeof path, "%s/in", folder);
    rmdir(path);
    snprintf(path, sizeof path, "%s/new", folder);
    rmdir(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stored_and_deflated_files),
        cmocka_unit_test(test_damaged_archives),
        cmocka_unit_test(test_sizes_that_are_not_true),
        cmocka_unit_test(test_tensors),
        cmocka_unit_test(test_lengths_of_safetensors),
        cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_a_folder_and_a_package_make_the_same_file),
        cmocka_unit_test(test_wrong_files_are_refused_and_the_old_model_stays),
        cmocka_unit_test(test_usage),
    };
    return cmocka_run_group_tests_name("model import", tests, begin, end);
}
