/* test_arrays.c - NPY, NPZ and IDX. The NumPy files are NumPy's own (fixtures/arrays/make.py); their contents are literals here. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_arrays(void);

static char *fixture(const char *name, size_t *size) {
    char path[200];
    snprintf(path, sizeof path, FIXTURES "/arrays/%s", name);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "%s", path);
    char *bytes = malloc(1 << 16);
    *size = fread(bytes, 1, 1 << 16, file);
    fclose(file);
    return bytes;
}

static const char *kind_of(const char *name) {
    return strstr(name, ".npz") ? "application/x-npz" : "application/x-npy";
}

static struct loaded load(const char *name, const char *column, const char *types) {
    struct schema_ingest_options options = {.column = column};
    struct schema_column_type *list = NULL;
    struct schema_problems problems = {0};
    size_t size;
    char *bytes = fixture(name, &size);
    if (types) ck_assert_int_eq(0, schema_column_types_parse(types, &list, &options.types_count, &problems));
    options.types = list;
    struct loaded loaded = load_pieces(kind_of(name), bytes, size, size, &options);
    schema_column_types_free(list, options.types_count);
    free(bytes);
    return loaded;
}
#define ROWS(name, rows)        check_rows(load(name, NULL, NULL), rows, __LINE__)
#define REFUSED(name, problems) check_refused(load(name, NULL, NULL), problems, __LINE__)

START_TEST(npy) {
    ROWS("f8.npy", "{\"x0\":1.5,\"x1\":-2}\n{\"x0\":null,\"x1\":4}\n{\"x0\":0.1,\"x1\":1e300}");
    ROWS("f4_fortran.npy", "{\"x0\":1.5,\"x1\":-2}\n{\"x0\":null,\"x1\":4}");
    ROWS("f4_big.npy", "{\"x0\":1.5,\"x1\":-2}\n{\"x0\":null,\"x1\":4}");
    ROWS("f2.npy", "{\"x\":1.5}\n{\"x\":-65504}\n{\"x\":5.96046447753906e-8}\n{\"x\":null}");
    ROWS("i8_big.npy", "{\"x\":1}\n{\"x\":-2}\n{\"x\":9007199254740991}");
    ROWS("bool.npy", "{\"x\":true}\n{\"x\":false}");
    ROWS("u1_images.npy", "{\"x\":[[0,1,2],[3,4,5]]}\n{\"x\":[[6,7,8],[9,10,11]]}");
    ROWS("u1_images_fortran.npy", "{\"x\":[[0,1,2],[3,4,5]]}\n{\"x\":[[6,7,8],[9,10,11]]}");
    ROWS("version2.npy", "{\"x0\":1,\"x1\":2}\n{\"x0\":3,\"x1\":4}");
    ROWS("version3.npy", "{\"x0\":1,\"x1\":2}\n{\"x0\":3,\"x1\":4}");
    check_rows(load("i8_big.npy", "label", "label:categorical"), "{\"label\":\"1\"}\n{\"label\":\"-2\"}\n{\"label\":\"9007199254740991\"}", __LINE__);
    check_rows(load("version2.npy", "f", NULL), "{\"f0\":1,\"f1\":2}\n{\"f0\":3,\"f1\":4}", __LINE__);
    check_rows(load("bool.npy", NULL, "x:categorical"), "{\"x\":\"true\"}\n{\"x\":\"false\"}", __LINE__);
}
END_TEST

START_TEST(npz) {
    ROWS("stored.npz", "{\"x0\":1.5,\"x1\":-2,\"y\":7}\n{\"x0\":null,\"x1\":4,\"y\":8}");
    ROWS("piped.npz", "{\"x0\":1.5,\"x1\":-2,\"y\":7}\n{\"x0\":null,\"x1\":4,\"y\":8}");
    ROWS("deflated.npz", "{\"image\":[[0,1,2],[3,4,5]],\"pair0\":1.5,\"pair1\":-2,\"yes\":true}\n"
                         "{\"image\":[[6,7,8],[9,10,11]],\"pair0\":null,\"pair1\":4,\"yes\":false}");
}
END_TEST

START_TEST(errors) {
    REFUSED("infinite.npy",
            "[{\"pointer\":\"/1\",\"column\":\"x1\",\"value\":\"inf\",\"detail\":\"expected a finite number, or NaN for a missing one\"}]");
    REFUSED("text.npy", "[{\"detail\":\"the array has an unsupported type of values; convert it to float32, float64, int or bool\"}]");
    REFUSED("objects.npy", "[{\"detail\":\"the array has an unsupported type of values; convert it to float32, float64, int or bool\"}]");
    REFUSED("scalar.npy", "[{\"detail\":\"the array has 0 dimensions, expected 1 to 5, the first being the rows\"}]");
    REFUSED("uneven.npz", "[{\"detail\":\"member \\\"y\\\" has 2 rows, \\\"x\\\" has 3; all arrays must have the same number of rows\"}]");
    REFUSED("piped_stored.npz",
            "[{\"detail\":\"member \\\"x\\\" was written to a pipe and has no size before the data; save to a file and send that\"}]");
    check_refused(load("u1_images.npy", NULL, "x:numeric"),
                  "[{\"detail\":\"column \\\"x\\\" was given the type numeric, but its cells are arrays: it is a tensor\"}]", __LINE__);
    check_refused(load("f8.npy", NULL, "x0:boolean"),
                  "[{\"pointer\":\"/0\",\"column\":\"x0\",\"value\":\"1.5\",\"detail\":\"expected true or false; the column was given the type "
                  "boolean. Correct the "
                  "value, leave it empty if it is missing, or send the data again with types=x0:categorical\"},"
                  "{\"pointer\":\"/2\",\"column\":\"x0\",\"value\":\"0.1\",\"detail\":\"expected true or false; the column was given the type "
                  "boolean. Correct the "
                  "value, leave it empty if it is missing, or send the data again with types=x0:categorical\"}]",
                  __LINE__);
    check_refused(load_pieces("application/x-npy", "", 0, 1, NULL), "[{\"detail\":\"the file is empty; expected an array\"}]", __LINE__);
    check_refused(load_pieces("application/x-npy", "1,2\n", 4, 4, NULL),
                  "[{\"detail\":\"the array is not an NPY file: it does not begin with \\\\x93NUMPY\"}]", __LINE__);
    check_refused(load_pieces("application/x-npz", "1,2\n", 4, 4, NULL),
                  "[{\"detail\":\"the file is not an NPZ file, or it is damaged: expected a member of the archive here\"}]", __LINE__);
}
END_TEST

static const char *const all[] = {"f8.npy", "f4_fortran.npy", "f2.npy", "u1_images.npy", "version3.npy", "stored.npz", "deflated.npz", "piped.npz"};

/* The same file whatever the pieces; cut anywhere, or with a byte too many, it is refused. */
START_TEST(pieces_and_cuts) {
    size_t size;
    char *bytes = fixture(all[_i], &size);
    const char *kind = kind_of(all[_i]);
    struct loaded whole = load_pieces(kind, bytes, size, size, NULL);
    ck_assert_int_eq(0, whole.failed);
    for (size_t piece = 1; piece < 40; piece++) {
        struct loaded part = load_pieces(kind, bytes, size, piece, NULL);
        ck_assert(!part.failed && whole.file_size == part.file_size);
        ck_assert_mem_eq(whole.file, part.file, whole.file_size);
        loaded_clear(&part);
    }
    loaded_clear(&whole);
    for (size_t cut = 0; cut < size; cut++) {
        struct loaded part = load_pieces(kind, bytes, cut, 50, NULL);
        ck_assert_msg(part.failed && part.problems.total == 1, "%s cut at %zu", all[_i], cut);
        loaded_clear(&part);
    }
    bytes[size] = 0;
    struct loaded more = load_pieces(kind, bytes, size + 1, 50, NULL);
    ck_assert(more.failed);
    loaded_clear(&more);
    free(bytes);
}
END_TEST

/* A byte of a member's values changed: the checksum detects it. */
START_TEST(checksums) {
    static const char *const names[] = {"stored.npz", "deflated.npz"};
    size_t size;
    char *bytes = fixture(names[_i], &size);
    bytes[_i ? 100 : 230] ^= 1;
    struct loaded loaded = load_pieces("application/x-npz", bytes, size, size, NULL);
    ck_assert(loaded.failed && (_i || strstr(loaded.problems.items[0].detail, "is damaged: its checksum")));
    loaded_clear(&loaded);
    free(bytes);
}
END_TEST

#define IDX(literal) load_pieces("application/x-idx", literal, sizeof literal - 1, 5, NULL)

START_TEST(idx) {
    check_rows(IDX("\0\0\10\3\0\0\0\2\0\0\0\1\0\0\0\2\1\2\377\4"), "{\"x\":[[[1],[2]]]}\n{\"x\":[[[255],[4]]]}", __LINE__);
    check_rows(IDX("\0\0\10\1\0\0\0\3\7\2\1"), "{\"x\":7}\n{\"x\":2}\n{\"x\":1}", __LINE__);
    check_rows(IDX("\0\0\13\2\0\0\0\1\0\0\0\2\377\376\1\0"), "{\"x0\":-2,\"x1\":256}", __LINE__);
    check_rows(IDX("\0\0\15\1\0\0\0\1\77\200\0\0"), "{\"x\":1}", __LINE__);
    check_refused(IDX("\0\0\10\1\0\0\0\3\7\2"), "[{\"detail\":\"the file is truncated: its header declares 3 rows, it has 2\"}]", __LINE__);
    check_refused(IDX("\0\0\10\1\0\0\0\1\7\2"), "[{\"detail\":\"the file is damaged: bytes follow the last of the 1 rows\"}]", __LINE__);
    check_refused(IDX("\0\0\10"), "[{\"detail\":\"the file is truncated within its header\"}]", __LINE__);
    check_refused(IDX("a,b\n"), "[{\"detail\":\"this is not an IDX file: it does not begin with two zero bytes\"}]", __LINE__);
    check_refused(IDX("\0\0\1\1\0\0\0\1\7"),
                  "[{\"detail\":\"the array has an unsupported type of values; convert it to float32, float64, int or bool\"}]", __LINE__);
    check_refused(IDX("\0\0\10\1\0\0\0\0"), "[{\"detail\":\"the array has no rows; at least one is needed\"}]", __LINE__);
    check_refused(IDX("\0\0\10\4\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377\377"), "[{\"detail\":\"the array is too large\"}]",
                  __LINE__);
}
END_TEST

Suite *suite_schema_arrays(void) {
    Suite *suite = suite_create("schema arrays");
    TCase *tests = tcase_create("arrays");
    tcase_add_test(tests, npy);
    tcase_add_test(tests, npz);
    tcase_add_test(tests, errors);
    tcase_add_loop_test(tests, pieces_and_cuts, 0, sizeof all / sizeof *all);
    tcase_add_loop_test(tests, checksums, 0, 2);
    tcase_add_test(tests, idx);
    suite_add_tcase(suite, tests);
    return suite;
}
