/* guess.c - see guess.h. */
#include "schema/ingest/guess.h"

#include "schema/text/json_text.h"

#include <string.h>

static bool begins(const char *bytes, size_t size, const char *with, size_t n) {
    return size >= n && memcmp(bytes, with, n) == 0;
}
#define BEGINS(with) begins(bytes, size, with, sizeof(with) - 1)

static bool contains(const char *bytes, size_t size, const char *text) {
    return memmem(bytes, size < 4096 ? size : 4096, text, strlen(text)) != NULL;
}

/* ---- guesses ---- */

const char *schema_guess_encoding(const char *bytes, size_t size) {
    return BEGINS("\x1F\x8B") ? "gzip" : BEGINS("\x28\xB5\x2F\xFD") ? "zstd" : NULL;
}

const char *schema_guess_refusal(const char *bytes, size_t size) {
    if (BEGINS("PAR1")) return "this is Parquet, which is not read; with pandas: pandas.read_parquet(file).to_csv(\"file.csv\", index=False)";
    if (BEGINS("ARROW1")) return "this is Arrow, which is not read; with pandas: pandas.read_feather(file).to_csv(\"file.csv\", index=False)";
    if (BEGINS("\x89HDF")) return "this is HDF5, which is not read; save its arrays with numpy.savez_compressed";
    if (BEGINS("\x89PNG") || BEGINS("\xFF\xD8\xFF"))
        return "this is an image; put the pixels of all images into one array and save it with numpy.save";
    if (BEGINS("%PDF")) return "this is a PDF; save the table in it as CSV";
    if (BEGINS("\xD0\xCF\x11\xE0")) return "this is an old Excel file; save the sheet as CSV";
    if (BEGINS("BZh") || BEGINS("\xFD"
                                "7zXZ"))
        return "this is compressed with bzip2 or xz; use gzip or zstd, or send it uncompressed";
    if (BEGINS("PK\3\4") && (contains(bytes, size, "[Content_Types].xml") || contains(bytes, size, "xl/")))
        return "this is an Excel workbook, which is not read; save the sheet as CSV (UTF-8) and send that";
    if (BEGINS("PK\3\4") && contains(bytes, size, "mimetypeapplication/vnd.oasis"))
        return "this is an OpenDocument file, which is not read; save the sheet as CSV (UTF-8) and send that";
    if (BEGINS("PK\3\4") && !contains(bytes, size, ".npy")) return "this is a zip archive, which is not read; unpack it and send the file";
    return NULL;
}

/* One object a line, or one value over the whole file. */
static const char *kind_of_json(const char *p, const char *end) {
    struct json_text_fault fault;
    const char *newline = memchr(p, '\n', (size_t)(end - p)), *after = newline ? json_text_check(p, newline, NULL, &fault) : NULL;
    if (!after || *p != '{' || json_text_blanks(after, newline) != newline) return "application/json";
    after = json_text_blanks(newline, end);
    return after < end && *after == '{' ? "application/x-ndjson" : "application/json";
}

const char *schema_guess_kind(const char *bytes, size_t size) {
    if (BEGINS("\x93NUMPY")) return "application/x-npy";
    if (BEGINS("PK\3\4")) return "application/x-npz";
    if (size >= 4 && bytes[0] == 0 && bytes[1] == 0) return "application/x-idx";
    const char *end = bytes + size, *p = json_text_blanks(BEGINS("\xEF\xBB\xBF") ? bytes + 3 : bytes, end);
    if (p < end && *p == '{') return kind_of_json(p, end);
    return "text/csv";
}

static bool strpbrk_in(const char *p, const char *end, const char *any) {
    for (; p < end; p++)
        if (strchr(any, *p)) return true;
    return false;
}

const char *schema_guess_other(const char *content_type, const char *bytes, size_t size) {
    const char *kind = schema_guess_kind(bytes, size), *end = bytes + size;
    const bool text = strncmp(content_type, "text/", 5) == 0, json = strstr(content_type, "json") != NULL;
    if (strcmp(kind, content_type) == 0) return NULL;
    if (strcmp(kind, "application/x-npy") == 0 || strcmp(kind, "application/x-npz") == 0) return kind;
    if (text && strstr(kind, "json")) { /* {"a": is no header of CSV */
        const char *p = json_text_blanks(BEGINS("\xEF\xBB\xBF") ? bytes + 3 : bytes, end);
        p = json_text_blanks(p + 1, end);
        return p < end && *p == '"' && memchr(p, ':', (size_t)(end - p)) ? kind : NULL;
    }
    if (json && strcmp(kind, "text/csv") == 0) {
        const char *p = json_text_blanks(BEGINS("\xEF\xBB\xBF") ? bytes + 3 : bytes, end),
                   *newline = p < end ? memchr(p, '\n', (size_t)(end - p)) : NULL;
        if (p == end || *p == '[' || *p == '"' || !newline) return NULL;
        return strpbrk_in(p, newline, ",;\t|") ? kind : NULL;
    }
    return NULL;
}
