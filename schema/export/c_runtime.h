/* c_runtime.h - the functions that exported C sources consist of: the sections of runtime.c99, embedded by embed.sh. */
#ifndef SCHEMA_C_RUNTIME_H
#define SCHEMA_C_RUNTIME_H

struct c_section {
    const char *name, *needs, *text; /* needs: another section, or "" */
};
extern const struct c_section c_runtime[];
extern const int c_runtime_count;

#endif
