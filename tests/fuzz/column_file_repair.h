/* column_file_repair.h - makes the checksums of a damaged column file right again, so that tests and fuzzers get past them. */
#ifndef TESTS_COLUMN_FILE_REPAIR_H
#define TESTS_COLUMN_FILE_REPAIR_H

#include "column_file.h"

#include <string.h>
#include <zlib.h>

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
        if (counts.groups >= 0 && counts.columns >= 0 &&
            counts.groups <= (int64_t)(trailer.footer_size - sizeof counts) / (int64_t)sizeof(struct column_file_group))
            for (int64_t g = 1; g <= counts.groups; g++) {
                struct column_file_group group;
                char *at = end - (size_t)g * sizeof group;
                memcpy(&group, at, sizeof group);
                uint64_t directory = (uint64_t)counts.columns * sizeof(struct column_block);
                if (group.offset > size || group.size > size - group.offset || directory > group.size) continue;
                group.directory_crc = (uint32_t)crc32_z(0, (const unsigned char *)bytes + group.offset, directory);
                group.crc = (uint32_t)crc32_z(0, (const unsigned char *)bytes + group.offset, group.size);
                memcpy(at, &group, sizeof group);
            }
        trailer.footer_crc = (uint32_t)crc32_z(0, (const unsigned char *)footer, trailer.footer_size);
    }
    trailer.crc = (uint32_t)crc32_z(0, (const unsigned char *)&trailer, offsetof(struct column_file_trailer, crc));
    memcpy(end, &trailer, sizeof trailer);
}

#endif
