/* column_file_repair.h - makes the checksums of a damaged column file right again, so that tests and fuzzers get past them. */
#ifndef TESTS_COLUMN_FILE_REPAIR_H
#define TESTS_COLUMN_FILE_REPAIR_H

#include "schema/dataset/column_file.h"

#include <string.h>
#include <zlib.h>

static inline void column_file_repair_group(char *bytes, size_t size, char *at, int32_t columns) {
    struct column_file_group group;
    memcpy(&group, at, sizeof group);
    const uint64_t directory = (uint64_t)columns * sizeof(struct column_block);
    if (group.offset > size || group.size > size - group.offset || directory > group.size || group.texts > group.offset) return;
    group.directory_crc = (uint32_t)crc32_z(0, (const unsigned char *)bytes + group.offset, directory);
    group.crc = (uint32_t)crc32_z(0, (const unsigned char *)bytes + group.offset - group.texts, group.texts + group.size);
    memcpy(at, &group, sizeof group);
}

/* The sets from the last one on: the head of one precedes its groups. */
static inline void column_file_repair_sets(char *bytes, size_t size, const char *footer, char *end, int32_t columns) {
    struct column_file_set set;
    int64_t groups = 0;
    for (char *at = end; columns > 0 && at - footer >= (int64_t)sizeof set; groups++, at -= sizeof(struct column_file_group)) {
        memcpy(&set, at - sizeof set, sizeof set);
        if (set.groups != groups || set.columns < 1 || set.columns > columns) continue;
        for (int64_t g = 0; g < groups; g++) column_file_repair_group(bytes, size, at + (size_t)g * sizeof(struct column_file_group), set.columns);
        columns -= set.columns;
        at += sizeof(struct column_file_group) - sizeof set; /* what the loop takes off again */
        groups = -1;
    }
}

/* Touches only what it finds within the file. */
static inline void column_file_repair(char *bytes, size_t size) {
    struct column_file_trailer trailer;
    struct column_file_counts counts;
    if (size < 64 + sizeof trailer + sizeof counts) return;
    char *end = bytes + size - sizeof trailer;
    memcpy(&trailer, end, sizeof trailer);
    trailer.file_size = size;
    if (trailer.footer_offset <= size - sizeof trailer - sizeof counts) {
        char *footer = bytes + trailer.footer_offset;
        trailer.footer_size = (uint64_t)(end - footer);
        memcpy(&counts, footer, sizeof counts);
        column_file_repair_sets(bytes, size, footer, end, counts.columns);
        trailer.footer_crc = (uint32_t)crc32_z(0, (const unsigned char *)footer, trailer.footer_size);
    }
    trailer.crc = (uint32_t)crc32_z(0, (const unsigned char *)&trailer, offsetof(struct column_file_trailer, crc));
    memcpy(end, &trailer, sizeof trailer);
}

#endif
