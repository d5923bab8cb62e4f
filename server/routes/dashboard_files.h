/* dashboard_files.h - the files of clients/dashboard, embedded by clients/dashboard/embed.sh. */
#ifndef SERVER_DASHBOARD_FILES_H
#define SERVER_DASHBOARD_FILES_H

struct dashboard_file {
    const char *name; /* "views/data.js" */
    const char *begin, *end;
};
extern const struct dashboard_file dashboard_files[];
extern const int dashboard_files_count;

#endif
