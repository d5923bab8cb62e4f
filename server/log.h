/* log.h - structured lines on stderr: time level event key=value ... Never a secret, never a body. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdbool.h>
#include <stdint.h>

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* log_line(LOG_INFO, "job_started", "job", id, "attempt", "1", NULL): pairs of texts, ended by NULL. Values are quoted where needed, and cut when
 * they are long; control characters and bytes that are not UTF-8 are escaped. Any thread. */
void log_line(enum log_level level, const char *event, ...) __attribute__((sentinel));
/* Lines below this level are left out from now on; at first those below info. Any thread. */
void log_level_set(enum log_level least);
/* Whether lines begin with their priority, as systemd's journal takes it from standard error, "<6>". Before other threads. */
void log_priorities(bool on);
bool log_wants(enum log_level level);
/* Lines that could not be written, because nobody read them in time. */
uint64_t log_lost(void);
/* "error", "warning", "info", "debug". False: it is none of them. */
bool log_level_parse(const char *name, enum log_level *level);

#endif
