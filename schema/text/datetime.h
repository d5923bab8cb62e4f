/* datetime.h - dates and times as seconds since 1970-01-01T00:00:00 in UTC, and their places in the cycles of the calendar. Gregorian throughout,
 * from the year 1 to 9999. A text without a zone is taken as UTC. */
#ifndef SCHEMA_DATETIME_H
#define SCHEMA_DATETIME_H

#include "engine/base/base.h"

enum { SCHEMA_DATETIME_TEXT = 40 };

/* 2024-01-31, 2024/01/31 or 31.01.2024, alone or with a time behind a T or a space: 12:00, 12:00:59, 12:00:59.25, with a zone behind it or not: Z,
 * +02:00, +0200, +02. That is ISO 8601 in its extended form and what is near it; 1/31/2024 is not among them, for it may be either. False: something
 * else, or no day of the calendar. */
bool schema_datetime_parse(const char *text, size_t size, double *seconds);
/* The same as strptime() reads it by that format, in the C locale, %Y having four digits; ISO 8601 too where that cannot be mistaken. NULL: as above.
 */
bool schema_datetime_parse_as(const char *format, const char *text, size_t size, double *seconds);
/* The formats in which people write dates, as far as a text fits them: a bit for each of a day and of the time behind it. Zero: none; all bits:
 * nothing was read yet. */
struct schema_datetime_forms {
    uint32_t days, clocks;
};
/* Keeps the formats that this text matches too. */
void schema_datetime_narrow(struct schema_datetime_forms *forms, const char *text, size_t size);
/* The k-th format that is left, with day first where that is among them; false: there are no more. */
bool schema_datetime_form(const struct schema_datetime_forms *forms, int k, char format[static SCHEMA_DATETIME_TEXT]);
/* A date of eight digits, such as 20231231, of the years 1900 to 2099. */
bool schema_datetime_digits(const char *text, size_t size);
/* Whether a text looks like a date, be it one of the calendar or not. */
bool schema_datetime_resembles(const char *text, size_t size);
/* Whether texts of that format are digits alone, so that a number is read by its digits. */
bool schema_datetime_format_digits(const char *format);
/* Whether a format has year, month and day. */
bool schema_datetime_format_good(const char *format);
/* Whether seconds are a time before the year 10000, and not a number far before the year 1. */
static inline bool schema_datetime_holds(double seconds) {
    return seconds > -253402300800.0 && seconds < 253402300800.0;
}
/* "2024-01-31" with `days`, else "2024-01-31T12:00:00Z", with a fraction where there is one; "" for what is no date of these years. Returns text. */
const char *schema_datetime_text(double seconds, bool days, char text[static SCHEMA_DATETIME_TEXT]);

/* What a network may see of a time: time itself, and where it lies in a cycle, from 0 to just below 1: of the year from 1 January on, of the month,
 * of the week from Monday on, of the day, of the hour. */
enum schema_time_part { SCHEMA_PART_TIME, SCHEMA_PART_YEAR, SCHEMA_PART_MONTH, SCHEMA_PART_WEEK, SCHEMA_PART_DAY, SCHEMA_PART_HOUR, SCHEMA_PARTS };
extern const char *const schema_time_parts[SCHEMA_PARTS + 1]; /* "time", "year", ...; NULL-terminated */
double schema_datetime_place(double seconds, enum schema_time_part cycle);

#endif
