/* test_json.c - datasets as JSON: records, columns, x and y; types; every error with its pointer; jansson's rules. */
#include "tests/schema/ingest_support.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

Suite *suite_schema_json(void);

START_TEST(records) {
    JSON_ROWS("{\"name\":\"p\",\"records\":[{\"a\":1,\"b\":\"x\"},{\"b\":\"y\",\"a\":2.5}]}", "{\"a\":1,\"b\":\"x\"}\n{\"a\":2.5,\"b\":\"y\"}");
    JSON_ROWS(" { \"records\" : [ { \"a\" : 1 } , { \"b\" : true } , { } , { \"b\" : false , \"a\" : null } ] } ",
              "{\"a\":1,\"b\":null}\n{\"a\":null,\"b\":true}\n{\"a\":null,\"b\":null}\n{\"a\":null,\"b\":false}");
    JSON_ROWS("{\"records\":[{\"\\u00e9\\ud83d\\ude00\\n\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\"}]}",
              "{\"\xC3\xA9\xF0\x9F\x98\x80\\n\":\"\\\"\\\\/\\b\\f\\n\\r\\tA\"}");
    JSON_ROWS("\xEF\xBB\xBF{\"records\":[{\"a\":1}]}", "{\"a\":1}"); /* a byte order mark */
    JSON_ROWS("{\"records\":[{\"a\":1},{\"a\":\"NA\"},{\"a\":\"\"},{\"a\":-0.5e1}]}", "{\"a\":1}\n{\"a\":null}\n{\"a\":null}\n{\"a\":-5}");
    JSON_ROWS("{\"records\":[{\"a\":\"1\"},{\"a\":\"2\"},{\"a\":\"1.0\"}]}", "{\"a\":1}\n{\"a\":2}\n{\"a\":1}");
    JSON_ROWS("{\"records\":[{\"a\":\"1\"},{\"a\":\"2\"},{\"a\":\"1.0\"}],\"types\":{\"a\":\"categorical\"}}",
              "{\"a\":\"1\"}\n{\"a\":\"2\"}\n{\"a\":\"1\"}");
    JSON_ROWS("{\"records\":[{\"a\":\"1\"},{\"a\":\"2\"},{\"a\":\"NA\"}],\"types\":{\"a\":\"numeric\"}}", "{\"a\":1}\n{\"a\":2}\n{\"a\":null}");
    JSON_ROWS("{\"records\":[{\"a\":6.0},{\"a\":\"x\"},{\"a\":6},{\"a\":true}]}",
              "{\"a\":\"6.0\"}\n{\"a\":\"x\"}\n{\"a\":\"6.0\"}\n{\"a\":\"true\"}");
    JSON_ROWS("{\"records\":[{\"a\":\"True\"},{\"a\":\"false\"},{\"a\":null}],\"types\":{\"a\":\"boolean\"}}",
              "{\"a\":true}\n{\"a\":false}\n{\"a\":null}");
    JSON_ROWS("{\"records\":[{\"a\":12345678901234567890,\"b\":1e300}]}", "{\"a\":\"12345678901234567890\",\"b\":1e300}");
}
END_TEST

START_TEST(columns) {
    JSON_ROWS("{\"columns\":{\"a\":[1,2,null],\"b\":[\"x\",null,\"y\"],\"c\":[true,false,true]}}",
              "{\"a\":1,\"b\":\"x\",\"c\":true}\n{\"a\":2,\"b\":null,\"c\":false}\n{\"a\":null,\"b\":\"y\",\"c\":true}");
    JSON_ROWS("{\"columns\":{\"t\":[[1,2],[3,4]],\"b\":[0,1]}}", "{\"t\":[1,2],\"b\":0}\n{\"t\":[3,4],\"b\":1}");
    JSON_REFUSED(
        "{\"columns\":{\"a\":[1,2,3],\"b\":[1,2]}}",
        "[{\"pointer\":\"/columns/a\",\"detail\":\"the array has 3 values, but \\\"b\\\" has 2; all columns must have one value per row\"}]");
    JSON_REFUSED("{\"columns\":{\"a\":[1],\"b\":7,\"c\":{}}}",
                 "[{\"pointer\":\"/columns/b\",\"detail\":\"expected an array with one value per row\"},"
                 "{\"pointer\":\"/columns/c\",\"detail\":\"expected an array with one value per row\"}]");
    JSON_REFUSED("{\"columns\":{\"a\":[],\"b\":[]}}", "[{\"detail\":\"the data has no rows; at least one is needed\"}]");
    JSON_REFUSED("{\"columns\":{}}", "[{\"pointer\":\"/columns\",\"detail\":\"the data has no columns\"}]");
    JSON_REFUSED("{\"columns\":[1]}", "[{\"pointer\":\"/columns\",\"detail\":\"expected an object of arrays, such as "
                                      "{\\\"length\\\":[39.1,40.3],\\\"island\\\":[\\\"Biscoe\\\",\\\"Dream\\\"]}\"}]");
    JSON_REFUSED("{\"columns\":{\"a\":[1],\"a\":[2]}}", "[{\"pointer\":\"/columns\",\"value\":\"a\",\"detail\":\"column 2 \\\"a\\\" repeats the name "
                                                        "of an earlier column; names must be distinct\"}]");
}
END_TEST

START_TEST(x_and_y) {
    JSON_ROWS("{\"x\":[[1,2],[3,4]],\"y\":[\"a\",\"b\"]}", "{\"x0\":1,\"x1\":2,\"y\":\"a\"}\n{\"x0\":3,\"x1\":4,\"y\":\"b\"}");
    JSON_ROWS("{\"y\":[[1,0],[0,1]],\"x\":[1,2]}", "{\"x0\":1,\"y0\":1,\"y1\":0}\n{\"x0\":2,\"y0\":0,\"y1\":1}");
    JSON_ROWS("{\"x\":[[[1,2],[3,4]],null],\"y\":[0.5,1]}", "{\"x\":[[1,2],[3,4]],\"y\":0.5}\n{\"x\":null,\"y\":1}");
    JSON_ROWS("{\"x\":[[1,2,3,4]],\"y\":[1],\"types\":{\"x\":{\"type\":\"tensor\",\"shape\":[2,2,1]}}}", "{\"x\":[[[1],[2]],[[3],[4]]],\"y\":1}");
    JSON_ROWS("{\"x\":[[[1,2],[3,4]]],\"y\":[1],\"types\":{\"x\":{\"type\":\"tensor\",\"shape\":[2,2,1],\"layout\":\"hwc\"}}}",
              "{\"x\":[[[1],[2]],[[3],[4]]],\"y\":1}");
    JSON_ROWS("{\"x\":[[[[1,2],[3,4]],[[5,6],[7,8]],[[9,10],[11,12]]]],\"y\":[1],\"types\":{\"x\":{\"type\":\"tensor\",\"layout\":\"chw\"}}}",
              "{\"x\":[[[1,5,9],[2,6,10]],[[3,7,11],[4,8,12]]],\"y\":1}");
    JSON_ROWS("{\"x\":[[null,1],[2,null]],\"y\":[1,2]}", "{\"x0\":null,\"x1\":1,\"y\":1}\n{\"x0\":2,\"x1\":null,\"y\":2}");
    JSON_REFUSED(
        "{\"x\":[[1,2],[3],4,[5,6]],\"y\":[1,2,3,[4]]}",
        "[{\"pointer\":\"/x/1\",\"value\":\"[3]\",\"detail\":\"the row has 1 values, the first has 2\"},"
        "{\"pointer\":\"/x/2\",\"value\":\"4\",\"detail\":\"expected a row of 2 values, like the first\"},"
        "{\"pointer\":\"/y/0\",\"column\":\"y\",\"value\":\"1\",\"detail\":\"expected an array of numbers; the column was inferred as tensor "
        "from the first 4 rows. Correct the value, leave it empty if it is missing, or send the data again with "
        "\\\"types\\\":{\\\"y\\\":\\\"categorical\\\"}\"},"
        "{\"pointer\":\"/y/1\",\"column\":\"y\",\"value\":\"2\",\"detail\":\"expected an array of numbers; the column was inferred as tensor "
        "from the first 4 rows. Correct the value, leave it empty if it is missing, or send the data again with "
        "\\\"types\\\":{\\\"y\\\":\\\"categorical\\\"}\"},"
        "{\"pointer\":\"/y/2\",\"column\":\"y\",\"value\":\"3\",\"detail\":\"expected an array of numbers; the column was inferred as tensor "
        "from the first 4 rows. Correct the value, leave it empty if it is missing, or send the data again with "
        "\\\"types\\\":{\\\"y\\\":\\\"categorical\\\"}\"}]");
    JSON_REFUSED("{\"x\":[1,2,3],\"y\":[1,2]}", "[{\"pointer\":\"/y\",\"detail\":\"y has 2 rows, x has 3; they must have the same rows\"}]");
    JSON_REFUSED("{\"x\":[1]}",
                 "[{\"pointer\":\"/y\",\"detail\":\"x and y are both required; y is missing (to send rows without y, use records or columns)\"}]");
    JSON_REFUSED("{\"x\":[],\"y\":[]}", "[{\"pointer\":\"/x\",\"detail\":\"the data has no rows; at least one is needed\"}]");
    JSON_REFUSED("{\"x\":[[]],\"y\":[1]}", "[{\"pointer\":\"/x\",\"detail\":\"the first row is empty\"}]");
    JSON_REFUSED(
        "{\"x\":[1],\"y\":[[[1]]]}",
        "[{\"pointer\":\"/y\",\"detail\":\"expected a list of values or of rows; for deeper arrays use \\\"types\\\":{\\\"y\\\":\\\"tensor\\\"}\"}]");
    JSON_REFUSED("{\"x\":[[1,\"a\"],[2,{}]],\"y\":[1,2]}",
                 "[{\"pointer\":\"/x/1/1\",\"column\":\"x1\",\"value\":\"{}\",\"detail\":\"expected a number, a text, true, false, null, an array "
                 "of numbers or a list of texts, got an object; make each member a column\"}]");
}
END_TEST

START_TEST(tensors) {
    JSON_ROWS("{\"records\":[{\"t\":[0,255]},{\"t\":[0.5,1]},{\"t\":null},{}]}", "{\"t\":[0,255]}\n{\"t\":[0.5,1]}\n{\"t\":null}\n{\"t\":null}");
    struct loaded loaded = load_json("{\"x\":[[[0],[255]],[[1],[2]]],\"y\":[1,2]}");
    ck_assert(!loaded.failed && loaded.data->columns[0].bytes);
    ck_assert_int_eq(2, loaded.data->columns[0].shape.rank);
    char *column = column_text(loaded.data, 0);
    ck_assert_str_eq(
        "{\"name\":\"x\",\"type\":\"tensor\",\"shape\":[2,1],\"missing\":0,\"min\":0,\"max\":255,\"mean\":64.5,\"std\":109.987499289692}", column);
    free(column);
    loaded_clear(&loaded);
    loaded = load_json("{\"x\":[[[0],[256]]],\"y\":[1]}");
    ck_assert(!loaded.failed && !loaded.data->columns[0].bytes);
    loaded_clear(&loaded);
    JSON_REFUSED("{\"records\":[{\"t\":[1,2]},{\"t\":[1,2,3]}]}",
                 "[{\"pointer\":\"/records/1/t\",\"column\":\"t\",\"value\":\"[1,2,3]\",\"detail\":\"the array has shape (3), expected (2) as in the "
                 "first row; shorter sequences are padded when types give the longest: {\\\"type\\\":\\\"tensor\\\",\\\"shape\\\":[...]}\"}]");
    JSON_ROWS("{\"records\":[{\"t\":[1,2]},{\"t\":[1,null]}]}", "{\"t\":[1,2]}\n{\"t\":[1,null]}");
    JSON_ROWS("{\"types\":{\"t\":{\"type\":\"tensor\",\"shape\":[3,2]}},\"records\":[{\"t\":[[1,2]]},{\"t\":[[1,2],[3,4],[5,6]]}]}",
              "{\"t\":[[1,2],[null,null],[null,null]]}\n{\"t\":[[1,2],[3,4],[5,6]]}");
    loaded = load_json("{\"records\":[{\"t\":[1,2]},{\"t\":[6,null]}]}");
    column = column_text(loaded.data, 0);
    ck_assert_str_eq("{\"name\":\"t\",\"type\":\"tensor\",\"shape\":[2],\"missing\":0,\"min\":1,\"max\":6,\"mean\":3,\"std\":2.16024689946929}",
                     column);
    free(column);
    loaded_clear(&loaded);
    JSON_REFUSED(
        "{\"types\":{\"t\":{\"type\":\"tensor\",\"shape\":[2,2]}},\"records\":[{\"t\":[[1,2],[3,4],[5,6]]}]}",
        "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[[1,2],[3,4],[5,6]]\",\"detail\":\"the array has shape (3, 2), expected (2, 2) "
        "as given in types\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[1,2]},{\"t\":[1,true]}]}",
                 "[{\"pointer\":\"/records/1/t\",\"column\":\"t\",\"value\":\"[1,true]\",\"detail\":\"expected an array of numbers of shape (2), but "
                 "it contains a value that is not a number\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[[1],[2,3]]}]}",
                 "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[[1],[2,3]]\",\"detail\":\"expected an array of numbers of shape (1), "
                 "but its rows differ in length\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[[1],2]}]}", "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[[1],2]\",\"detail\":\"expected an "
                                                    "array of numbers of shape (1), but it mixes numbers and arrays\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[]}]}",
                 "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[]\",\"detail\":\"expected an array of "
                 "numbers of shape (1), but an array in it is empty; for lists of labels give the column the type labels\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[[[[[1]]]]]}]}",
                 "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[[[[[1]]]]]\",\"detail\":\"expected an array of numbers of shape (1), "
                 "but it is nested deeper than 4 levels\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[1e39]}]}", "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[1e39]\",\"detail\":\"expected an "
                                                   "array of numbers of shape (1), but it holds a number too large for float32\"}]");
    JSON_REFUSED("{\"records\":[{\"t\":[1,2,3]}],\"types\":{\"t\":{\"type\":\"tensor\",\"shape\":[2,2]}}}",
                 "[{\"pointer\":\"/records/0/t\",\"column\":\"t\",\"value\":\"[1,2,3]\",\"detail\":\"the array has shape (3), expected (2, 2) as "
                 "given in types\"}]");
}
END_TEST

START_TEST(record_errors) {
    JSON_REFUSED("{\"records\":[]}", "[{\"pointer\":\"/records\",\"detail\":\"the data has no rows; at least one is needed\"}]");
    JSON_REFUSED("{\"records\":{}}", "[{\"pointer\":\"/records\",\"detail\":\"expected an array of objects, one per row\"}]");
    JSON_REFUSED("{\"records\":[{\"a\":1},[2]]}", "[{\"pointer\":\"/records/1\",\"value\":\"[2]\",\"detail\":\"expected an object, such as "
                                                  "{\\\"length\\\":39.1,\\\"island\\\":\\\"Biscoe\\\"}\"}]");
    JSON_REFUSED("{\"records\":[{}]}", "[{\"detail\":\"the data has no columns\"}]");
    JSON_REFUSED("{\"records\":[{\"\":1}]}", "[{\"pointer\":\"/records/0\",\"value\":\"\",\"detail\":\"column 1 has no name; every column needs one "
                                             "(from pandas: to_csv(..., index=False))\"}]");
    JSON_REFUSED("{\"records\":[{\"a\":1,\"b\":2},{\"a\":1,\"a\":2}]}",
                 "[{\"pointer\":\"/records/1/a\",\"column\":\"a\",\"detail\":\"the key appears twice in this record\"}]");
    JSON_REFUSED("{\"records\":[{\"a/b~c\":1},{\"a/b~c\":{\"d\":1}}]}",
                 "[{\"pointer\":\"/records/1/a~1b~0c\",\"column\":\"a/b~c\",\"value\":\"{\\\"d\\\":1}\",\"detail\":\"expected a number, a text, "
                 "true, false, null, an array of numbers or a list of texts, got an object; make each member a column\"}]");
    JSON_REFUSED(
        "{\"records\":[{\"a\":1},{\"a\":\"x\"}],\"types\":{\"a\":\"numeric\"}}",
        "[{\"pointer\":\"/records/1/a\",\"column\":\"a\",\"value\":\"x\",\"detail\":\"expected a number; the column was given the type numeric. "
        "Correct the value, leave it empty if it is missing, or send the data again with \\\"types\\\":{\\\"a\\\":\\\"categorical\\\"}\"}]");
}
END_TEST

START_TEST(top_errors) {
    JSON_REFUSED("[1]", "[{\"pointer\":\"\",\"detail\":\"expected an object with records, columns, or x and y\"}]");
    JSON_REFUSED("{}", "[{\"pointer\":\"\",\"detail\":\"no rows: give records (objects), columns (arrays by name), or x and y\"}]");
    JSON_REFUSED("{\"records\":[{\"a\":1}],\"x\":[1]}", "[{\"pointer\":\"\",\"detail\":\"give only one of records, columns, or x and y\"}]");
    JSON_REFUSED("{\"name\":7,\"recods\":[],\"zebra\":1}",
                 "[{\"pointer\":\"/recods\",\"detail\":\"unknown field \\\"recods\\\", did you mean \\\"records\\\"? A dataset has name, types, and "
                 "records, columns or x and y\"},"
                 "{\"pointer\":\"/zebra\",\"detail\":\"unknown field \\\"zebra\\\". A dataset has name, types, and records, columns or x and y\"},"
                 "{\"pointer\":\"/name\",\"detail\":\"expected a text\"}]");
    JSON_REFUSED("{\"records\":[{\"a\":1}],\"records\":[{\"a\":1}]}", "[{\"pointer\":\"/records\",\"detail\":\"the key appears twice\"}]");
    JSON_REFUSED(
        "{\"records\":[{\"a\":1}],\"types\":{\"a\":\"numerical\",\"b\":7,\"c\":{\"type\":\"tensor\",\"shap\":[1]},\"d\":{\"type\":\"tensor\","
        "\"shape\":[2,0]}}}",
        "[{\"pointer\":\"/types/a\",\"detail\":\"\\\"numerical\\\" is not a column type (column \\\"a\\\"), did you mean \\\"numeric\\\"? Types are "
        "numeric, categorical, boolean, datetime, text, tensor and labels\"},"
        "{\"pointer\":\"/types/b\",\"detail\":\"expected a type: \\\"numeric\\\", \\\"categorical\\\", \\\"boolean\\\", \\\"datetime\\\", "
        "\\\"text\\\", \\\"labels\\\", \\\"tensor\\\" or "
        "{\\\"type\\\":\\\"tensor\\\",\\\"shape\\\":[28,28,1]}\"},"
        "{\"pointer\":\"/types/c/shap\",\"detail\":\"unknown field \\\"shap\\\", did you mean \\\"shape\\\"? A type has type, shape, layout and "
        "format\"},"
        "{\"pointer\":\"/types/d/shape\",\"detail\":\"expected positive integers with a product of at most 268435455\"}]");
    JSON_REFUSED("{\"records\":[{\"age\":1}],\"types\":{\"agee\":\"numeric\"}}",
                 "[{\"pointer\":\"/types/agee\",\"detail\":\"types names a column \\\"agee\\\", which the data does not contain, did you mean "
                 "\\\"age\\\"?\"}]");
}
END_TEST

START_TEST(name) {
    struct loaded loaded = load_json("{\"records\":[{\"a\":1}],\"name\":\"caf\\u00e9\"}");
    ck_assert_str_eq("caf\xC3\xA9", loaded.name);
    loaded_clear(&loaded);
    loaded = load_json("{\"records\":[{\"a\":1}]}");
    ck_assert_ptr_null(loaded.name);
    loaded_clear(&loaded);
}
END_TEST

START_TEST(syntax_errors) {
    static const struct {
        const char *text, *detail;
        int line;
    } cases[] = {
        {"", "not valid JSON at line 1, column 1: the text is empty", 1},
        {"{\n \"records\":\n[{\"a\":1,}]}", "not valid JSON at line 3, column 9: expected a key in double quotes", 3},
        {"{\"records\":[{\"a\":1},]}", "not valid JSON at line 1, column 21: expected a value", 1},
        {"{\"records\":[{\"a\":NaN}]}",
         "not valid JSON at line 1, column 18: expected a value; NaN and Infinity are not JSON, write null for a missing value", 1},
        {"{\"records\":[{\"a\":-Infinity}]}", "not valid JSON at line 1, column 18: invalid JSON number", 1},
        {"{\"records\":[{\"a\":01}]}", "not valid JSON at line 1, column 18: invalid JSON number", 1},
        {"{\"records\":[{\"a\":1.}]}", "not valid JSON at line 1, column 18: invalid JSON number", 1},
        {"{\"records\":[{\"a\":1e400}]}", "not valid JSON at line 1, column 18: a number too large for double", 1},
        {"{\"records\":[{\"a\":'x'}]}", "not valid JSON at line 1, column 18: expected a value; strings are in double quotes", 1},
        {"{\"records\":[{\"a\":\"x\ny\"}]}", "not valid JSON at line 1, column 20: a control character in a string; write it as an escape", 1},
        {"{\"records\":[{\"\xC3\xA9\":\"\xC3\"}]}", "not valid JSON at line 1, column 19: a byte that is not valid UTF-8", 1},
        {"{\"records\":[{\"a\":\"\\u0000\"}]}", "not valid JSON at line 1, column 19: \\u0000 is not allowed", 1},
        {"{\"records\":[{\"a\":\"\\ud800x\"}]}", "not valid JSON at line 1, column 19: incomplete surrogate pair", 1},
        {"{\"records\":[{\"a\":\"\\udc00\"}]}", "not valid JSON at line 1, column 19: incomplete surrogate pair", 1},
        {"{\"records\":[{\"a\":\"\\x\"}]}",
         "not valid JSON at line 1, column 19: unknown escape in a string; allowed are \\\" \\\\ \\/ \\b \\f \\n \\r \\t \\u", 1},
        {"{\"records\":[{\"a\":1}]", "not valid JSON at line 1, column 21: the text ends inside an object", 1},
        {"{\"records\":[{\"a\":1}", "not valid JSON at line 1, column 20: the text ends inside an array", 1},
        {"{\"records\":[{\"a\":\"x", "not valid JSON at line 1, column 18: this string is not closed", 1},
        {"{\"records\":[{\"a\":1}]}\n}", "not valid JSON at line 2, column 1: bytes follow the end of the JSON value", 2},
        {"{\"records\":[{\"a\" 1}]}", "not valid JSON at line 1, column 18: expected ':' after a key", 1},
        {"{\"records\":[{\"a\":tru}]}", "not valid JSON at line 1, column 18: expected a value", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct loaded loaded = load_json(cases[i].text);
        ck_assert_msg(loaded.failed && loaded.problems.count == 1, "%s", cases[i].text);
        ck_assert_str_eq(cases[i].detail, loaded.problems.items[0].detail);
        ck_assert_int_eq(cases[i].line, (int)loaded.problems.items[0].line);
        loaded_clear(&loaded);
    }
}
END_TEST

START_TEST(depth) {
    for (int levels = 64; levels <= 65; levels++) {
        char text[400] = "{\"records\":";
        for (int i = 1; i < levels; i++) strcat(text, "[");
        for (int i = 1; i < levels; i++) strcat(text, "]");
        strcat(text, "}");
        struct loaded loaded = load_json(text);
        ck_assert(loaded.failed);
        if (levels == 64) ck_assert_str_eq("expected an object, such as {\"length\":39.1,\"island\":\"Biscoe\"}", loaded.problems.items[0].detail);
        else ck_assert_str_eq("not valid JSON at line 1, column 75: nested deeper than 64 levels", loaded.problems.items[0].detail);
        loaded_clear(&loaded);
    }
}
END_TEST

/* Larger than what is kept in memory, than the sample, than a group; in three shapes; by pieces; all give the same cells. */
START_TEST(large_bodies) {
    const int rows = 60000;
    char *texts[3] = {malloc(8 << 20), malloc(8 << 20), malloc(8 << 20)};
    size_t sizes[3] = {0, 0, 0};
#define PUT(k, ...) sizes[k] += (size_t)sprintf(texts[k] + sizes[k], __VA_ARGS__)
    PUT(0, "{\"records\":[");
    for (int i = 0; i < rows; i++) PUT(0, "%s{\"x0\":%d.5,\"x1\":%d,\"y\":\"k%d\"}", i ? "," : "", i, i % 7, i % 3);
    PUT(0, "],\"types\":{\"x0\":\"numeric\"}}");
    PUT(1, "{\"columns\":{\"x0\":[");
    for (int i = 0; i < rows; i++) PUT(1, "%s%d.5", i ? "," : "", i);
    PUT(1, "],\"x1\":[");
    for (int i = 0; i < rows; i++) PUT(1, "%s%d", i ? "," : "", i % 7);
    PUT(1, "],\"y\":[");
    for (int i = 0; i < rows; i++) PUT(1, "%s\"k%d\"", i ? "," : "", i % 3);
    PUT(1, "]}}");
    PUT(2, "{\"x\":[");
    for (int i = 0; i < rows; i++) PUT(2, "%s[%d.5,%d]", i ? ",\n" : "", i, i % 7);
    PUT(2, "],\"y\":[");
    for (int i = 0; i < rows; i++) PUT(2, "%s\"k%d\"", i ? "," : "", i % 3);
    PUT(2, "]}");
#undef PUT
    struct loaded first = load_pieces("application/json", texts[0], sizes[0], sizes[0], NULL);
    ck_assert(!first.failed);
    ck_assert_int_eq(rows, (int)first.data->rows);
    for (int i = 0; i < rows; i++)
        ck_assert(schema_dataset_number(first.data, 0, i) == i + 0.5 && schema_dataset_number(first.data, 1, i) == i % 7 &&
                  schema_dataset_code(first.data, 2, i) == i % 3);
    for (int k = 0; k < 3; k++) {
        struct loaded other = load_pieces("application/json; charset=utf-8", texts[k], sizes[k], k ? 1000 : 1, NULL);
        ck_assert(!other.failed);
        ck_assert_uint_eq(first.file_size, other.file_size);
        ck_assert_int_eq(0, memcmp(first.file, other.file, first.file_size));
        loaded_clear(&other);
        free(texts[k]);
    }
    loaded_clear(&first);
}
END_TEST

/* A new key within the first megabyte is a column, later it is an error. */
START_TEST(late_keys) {
    char *text = malloc(4 << 20);
    size_t size = (size_t)sprintf(text, "{\"records\":[{\"a\":1},{\"b\":2}");
    int rows = 2;
    for (; size < (3 << 20); rows++) size += (size_t)sprintf(text + size, ",{\"a\":%d.125,\"b\":7}", rows);
    size_t before = size;
    size += (size_t)sprintf(text + size, "]}");
    struct loaded loaded = load_pieces("application/json", text, size, 1 << 16, NULL);
    ck_assert(!loaded.failed);
    ck_assert(schema_dataset_number(loaded.data, 1, 1) == 2 && schema_dataset_number(loaded.data, 0, 0) == 1);
    ck_assert_int_eq(1, (int)loaded.data->columns[0].missing);
    ck_assert_int_eq(1, (int)loaded.data->columns[1].missing);
    loaded_clear(&loaded);
    size = before + (size_t)sprintf(text + before, ",{\"a\":1,\"new\":2},{\"a\":\"x\"}]}");
    loaded = load_pieces("application/json", text, size, 1 << 16, NULL);
    ck_assert(loaded.failed);
    ck_assert_int_eq(2, loaded.problems.count);
    char pointer[64];
    snprintf(pointer, sizeof pointer, "/records/%d", rows);
    ck_assert_str_eq(pointer, loaded.problems.items[0].pointer);
    ck_assert_str_eq("the key \"new\" first appears after the first megabyte of rows; give it in the first record too (null if missing)",
                     loaded.problems.items[0].detail);
    snprintf(pointer, sizeof pointer, "/records/%d/a", rows + 1);
    ck_assert_str_eq(pointer, loaded.problems.items[1].pointer);
    loaded_clear(&loaded);
    free(text);
}
END_TEST

Suite *suite_schema_json(void) {
    Suite *suite = suite_create("schema json");
    TCase *tests = tcase_create("json");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, records);
    tcase_add_test(tests, columns);
    tcase_add_test(tests, x_and_y);
    tcase_add_test(tests, tensors);
    tcase_add_test(tests, record_errors);
    tcase_add_test(tests, top_errors);
    tcase_add_test(tests, name);
    tcase_add_test(tests, syntax_errors);
    tcase_add_test(tests, depth);
    tcase_add_test(tests, large_bodies);
    tcase_add_test(tests, late_keys);
    suite_add_tcase(suite, tests);
    return suite;
}
