/* migrations.h - the numbered .sql files of schema/migrations/, embedded at build time by embed.sh there. */
#ifndef SERVER_STORE_MIGRATIONS_H
#define SERVER_STORE_MIGRATIONS_H

struct migration {
    int number; /* 1, 2, 3 ... */
    const char *sql;
};
extern const struct migration migrations[];
extern const int migrations_count;

#endif
