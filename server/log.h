/* log.h - structured lines on stderr: time level event key=value ... Never a secret, never a body. */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

enum log_level { LOG_INFO, LOG_WARNING, LOG_ERROR };

/* log_line(LOG_INFO, "job_started", "job", id, "attempt", "1", NULL): pairs of texts, ended by NULL. Values are quoted where needed. Any thread. */
void log_line(enum log_level level, const char *event, ...) __attribute__((sentinel));

#endif
