/* datetime.c - see datetime.h. */
#include "schema/text/datetime.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { MINUTE = 60, HOUR = 3600, DAY = 86400 };

/* ---- the calendar ------------------------------------------------------------------------------------------------------- */

static bool leap(int64_t year) {
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in(int64_t year, int month) {
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    return month == 2 && leap(year) ? 29 : days[month - 1];
}

/* Days from 1970-01-01: whole years before this one, then the months of it. */
static int64_t days_of(int64_t year, int month, int day) {
    const int64_t y = year - 1;
    int64_t days = y * 365 + y / 4 - y / 100 + y / 400 - 719162; /* 719162: the days from 0001-01-01 to 1970-01-01 */
    for (int m = 1; m < month; m++) days += days_in(year, m);
    return days + day - 1;
}

/* The year of a day counted from 1970-01-01, and the day's number in it, from 0. */
static int64_t year_of(int64_t days, int64_t *in_year) {
    int64_t year = 1970 + (int64_t)floor((double)days / 365.2425);
    while (days < days_of(year, 1, 1)) year--;
    while (days >= days_of(year + 1, 1, 1)) year++;
    *in_year = days - days_of(year, 1, 1);
    return year;
}

static int month_of(int64_t year, int64_t in_year, int64_t *in_month) {
    int month = 1;
    for (; in_year >= days_in(year, month); month++) in_year -= days_in(year, month);
    *in_month = in_year;
    return month;
}

/* ---- texts ---------------------------------------------------------------------------------------------------------------- */

struct cursor {
    const char *at, *end;
};

/* A number of `least` to `most` digits. */
static bool take_digits(struct cursor *c, int least, int most, int *number) {
    int n = 0;
    for (*number = 0; n < most && c->at < c->end && *c->at >= '0' && *c->at <= '9'; n++) *number = *number * 10 + (*c->at++ - '0');
    return n >= least;
}

static bool take(struct cursor *c, char mark) {
    if (c->at == c->end || *c->at != mark) return false;
    c->at++;
    return true;
}

static bool take_date(struct cursor *c, double *seconds) {
    int year, month, day;
    const char *start = c->at;
    if (take_digits(c, 4, 4, &year)) {
        const char mark = c->at < c->end ? *c->at : '\0';
        if ((mark != '-' && mark != '/') || !take(c, mark) || !take_digits(c, 1, 2, &month) || !take(c, mark) || !take_digits(c, 1, 2, &day))
            return false;
    } else {
        c->at = start;
        if (!take_digits(c, 1, 2, &day) || !take(c, '.') || !take_digits(c, 1, 2, &month) || !take(c, '.') || !take_digits(c, 4, 4, &year))
            return false;
    }
    if (year < 1 || month < 1 || month > 12 || day < 1 || day > days_in(year, month)) return false;
    *seconds = (double)days_of(year, month, day) * DAY;
    return true;
}

static bool take_fraction(struct cursor *c, double *seconds) {
    double unit = 1, sum = 0;
    const char *start = c->at;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        unit *= 10;
        sum = sum * 10 + (*c->at - '0');
    }
    *seconds += sum / unit;
    return c->at > start && c->at - start <= 9;
}

static bool take_clock(struct cursor *c, double *seconds) {
    int hour, minute, second = 0;
    double fraction = 0;
    if (!take_digits(c, 1, 2, &hour) || !take(c, ':') || !take_digits(c, 2, 2, &minute)) return false;
    if (take(c, ':')) {
        if (!take_digits(c, 2, 2, &second)) return false;
        if ((take(c, '.') || take(c, ',')) && !take_fraction(c, &fraction)) return false;
    }
    if (hour > 24 || minute > 59 || second > 60 || (hour == 24 && (minute || second || fraction > 0))) return false;
    *seconds += hour * HOUR + minute * MINUTE + second + fraction;
    return true;
}

static bool take_zone(struct cursor *c, double *seconds) {
    int hours, minutes = 0;
    while (take(c, ' ')) {
    }
    if (c->at == c->end || take(c, 'Z') || take(c, 'z')) return true;
    const int sign = *c->at == '-' ? -1 : 1;
    if (!take(c, '+') && !take(c, '-')) return false;
    if (!take_digits(c, 2, 2, &hours)) return false;
    if (c->at < c->end && (take(c, ':'), !take_digits(c, 2, 2, &minutes))) return false;
    if (hours > 18 || minutes > 59) return false;
    *seconds -= sign * (hours * HOUR + minutes * MINUTE);
    return true;
}

bool schema_datetime_parse(const char *text, size_t size, double *seconds) {
    struct cursor c = {text, text + size};
    double sum;
    if (size < 8 || size >= SCHEMA_DATETIME_TEXT || !take_date(&c, &sum)) return false;
    if (c.at < c.end && (take(&c, 'T') || take(&c, 't') || take(&c, ' ')) && (!take_clock(&c, &sum) || !take_zone(&c, &sum))) return false;
    if (c.at < c.end) return false;
    *seconds = sum;
    return true;
}

/* 2024-01-31..., whatever the format of its column: rows are given out like this. */
static bool is_iso(const char *text, size_t size) {
    return size >= 10 && text[4] == '-' && text[7] == '-' && text[0] >= '0' && text[0] <= '9' && text[3] >= '0' && text[3] <= '9';
}

bool schema_datetime_parse_as(const char *format, const char *text, size_t size, double *seconds) {
    char copy[128];
    if (!format) return schema_datetime_parse(text, size, seconds);
    if (size == 0 || size >= sizeof copy) return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    struct tm tm = {.tm_mday = 1, .tm_year = 70};
    const char *end = strptime(copy, format, &tm);
    if (!end || *end || tm.tm_mon < 0 || tm.tm_mon > 11 || tm.tm_year < -1899 || tm.tm_year > 8099 || tm.tm_mday < 1 ||
        tm.tm_mday > days_in(tm.tm_year + 1900, tm.tm_mon + 1) || (tm.tm_year < -900 && strstr(format, "%Y")))
        return is_iso(text, size) && strncmp(format, "%Y-", 3) != 0 && schema_datetime_parse(text, size, seconds);
    *seconds = (double)days_of(tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday) * DAY + tm.tm_hour * HOUR + tm.tm_min * MINUTE + tm.tm_sec -
               (double)tm.tm_gmtoff;
    return true;
}

bool schema_datetime_format_good(const char *format) {
    const char *kinds[] = {"YyDF", "mbBhjDF", "dejDF"}; /* the directives of year, month and day */
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        bool said = false;
        for (const char *p = format; *p; p++) {
            if (*p != '%') continue;
            p++;
            if (*p == 'E' || *p == 'O') p++;
            if (!*p) return false;
            said = said || strchr(kinds[k], *p);
        }
        if (!said) return false;
    }
    return strlen(format) < 64;
}

/* ---- formats found out ------------------------------------------------------------------------------------------------------ */

static const char *const day_forms[] = {"%d/%m/%Y", "%m/%d/%Y",  "%d-%m-%Y",  "%m-%d-%Y", "%d.%m.%Y", "%m.%d.%Y", "%Y/%d/%m",
                                        "%d/%m/%y", "%m/%d/%y",  "%d-%m-%y",  "%m-%d-%y", "%d.%m.%y", "%d-%b-%Y", "%d-%b-%y",
                                        "%d %b %Y", "%d. %b %Y", "%b %d, %Y", "%b %d %Y", "%d/%b/%Y", "%Y-%b-%d", "%a, %d %b %Y"};
static const char *const clock_forms[] = {"", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p", "T%H:%M", "T%H:%M:%S"};
enum { DAYS = sizeof day_forms / sizeof *day_forms, CLOCKS = sizeof clock_forms / sizeof *clock_forms };

/* Whether the whole text matches the format, with years of the right number of digits. */
static bool is_written(const char *format, const char *text) {
    struct tm tm = {.tm_mday = 1, .tm_year = 70};
    const char *end = strptime(text, format, &tm);
    if (!end || *end) return false;
    if (strstr(format, "%Y") && tm.tm_year < -900) return false;
    return tm.tm_mday >= 1 && tm.tm_mday <= days_in(tm.tm_year + 1900, tm.tm_mon + 1);
}

/* Where the time of the day begins: the blank or T before its hour; the end when there is none. */
static size_t clock_of(const char *text, size_t size) {
    const char *colon = memchr(text, ':', size);
    if (!colon) return size;
    size_t at = (size_t)(colon - text);
    while (at > 0 && text[at - 1] >= '0' && text[at - 1] <= '9') at--;
    return at > 0 && (text[at - 1] == ' ' || text[at - 1] == 'T') ? at - 1 : size;
}

void schema_datetime_narrow(struct schema_datetime_forms *forms, const char *text, size_t size) {
    char day[SCHEMA_DATETIME_TEXT], clock[SCHEMA_DATETIME_TEXT];
    if (!forms->days || !forms->clocks) return;
    const size_t at = size < SCHEMA_DATETIME_TEXT && size >= 6 ? clock_of(text, size) : 0;
    memcpy(day, text, at), day[at] = '\0';
    memcpy(clock, text + at, at ? size - at : 0), clock[at ? size - at : 0] = '\0';
    for (int i = 0; i < 32; i++)
        if (forms->days >> i & 1 && (i >= DAYS || !at || !is_written(day_forms[i], day))) forms->days &= ~(UINT32_C(1) << i);
    for (int i = 0; i < 32; i++)
        if (forms->clocks >> i & 1 && (i >= CLOCKS || !at || (i == 0 ? *clock != '\0' : !is_written(clock_forms[i], clock))))
            forms->clocks &= ~(UINT32_C(1) << i);
}

bool schema_datetime_form(const struct schema_datetime_forms *forms, int k, char format[static SCHEMA_DATETIME_TEXT]) {
    if (forms->days == UINT32_MAX) return false;
    for (int d = 0; d < DAYS; d++)
        for (int c = 0; c < CLOCKS; c++)
            if (forms->days >> d & 1 && forms->clocks >> c & 1 && k-- == 0) {
                snprintf(format, SCHEMA_DATETIME_TEXT, "%s%s", day_forms[d], clock_forms[c]);
                return true;
            }
    return false;
}

bool schema_datetime_digits(const char *text, size_t size) {
    struct cursor c = {text, text + size};
    int year, month, day;
    if (size != 8 || !take_digits(&c, 4, 4, &year) || !take_digits(&c, 2, 2, &month) || !take_digits(&c, 2, 2, &day)) return false;
    return year >= 1900 && year < 2100 && month >= 1 && month <= 12 && day >= 1 && day <= days_in(year, month);
}

bool schema_datetime_resembles(const char *text, size_t size) {
    struct cursor c = {text, text + size};
    int number, digits = 0, parts = 0;
    char mark = '\0';
    for (; parts < 3; parts++) {
        const char *start = c.at;
        if (!take_digits(&c, 1, 4, &number)) return false;
        digits += (int)(c.at - start);
        if (parts == 2) break;
        if (c.at == c.end || (*c.at != '-' && *c.at != '/' && *c.at != '.') || (mark && *c.at != mark)) return false;
        mark = *c.at++;
    }
    return digits >= 4 && digits <= 8 && (c.at == c.end || *c.at == ' ' || *c.at == 'T');
}

bool schema_datetime_format_digits(const char *format) {
    for (const char *p = format; *p; p += 2)
        if (*p != '%' || !p[1] || !strchr("YmdHMSyj", p[1])) return false;
    return true;
}

const char *schema_datetime_text(double seconds, bool days, char text[static SCHEMA_DATETIME_TEXT]) {
    int64_t in_year, in_month;
    *text = '\0';
    if (!(seconds >= -62135596800.0 && seconds < 253402300800.0)) return text; /* 0001-01-01 to 9999-12-31 */
    const double whole = floor(seconds), fraction = seconds - whole;
    const int64_t day = (int64_t)floor(whole / DAY), year = year_of(day, &in_year);
    const int month = month_of(year, in_year, &in_month);
    const int second = (int)(whole - (double)day * DAY);
    int n = snprintf(text, SCHEMA_DATETIME_TEXT, "%04d-%02d-%02d", (int)year, month, (int)in_month + 1);
    if (days) return text;
    n += snprintf(text + n, (size_t)(SCHEMA_DATETIME_TEXT - n), "T%02d:%02d:%02d", second / HOUR, second / MINUTE % 60, second % 60);
    if (fraction > 0) { /* as many digits as a double of these years holds; what would round up to a whole second is cut */
        char digits[16];
        snprintf(digits, sizeof digits, "%.6f", fraction < 0.9999995 ? fraction : 0.999999);
        size_t size = strlen(digits);
        while (size > 2 && digits[size - 1] == '0') digits[--size] = '\0';
        if (size > 2) n += snprintf(text + n, (size_t)(SCHEMA_DATETIME_TEXT - n), "%s", digits + 1);
    }
    snprintf(text + n, (size_t)(SCHEMA_DATETIME_TEXT - n), "Z");
    return text;
}

/* ---- cycles ----------------------------------------------------------------------------------------------------------------- */

const char *const schema_time_parts[SCHEMA_PARTS + 1] = {"time", "year", "month", "week", "day", "hour", NULL};

static double part_of(double seconds, double period) {
    const double place = seconds / period - floor(seconds / period);
    return place < 1 ? place : 0;
}

double schema_datetime_place(double seconds, enum schema_time_part cycle) {
    int64_t in_year, in_month;
    if (!(fabs(seconds) < 1e12)) return 0;
    if (cycle == SCHEMA_PART_HOUR) return part_of(seconds, HOUR);
    if (cycle == SCHEMA_PART_DAY) return part_of(seconds, DAY);
    if (cycle == SCHEMA_PART_WEEK) return part_of(seconds + 3 * DAY, 7 * DAY); /* 1970-01-01 was a Thursday */
    const double day = floor(seconds / DAY), clock = seconds / DAY - day;
    const int64_t year = year_of((int64_t)day, &in_year);
    if (cycle == SCHEMA_PART_YEAR) return ((double)in_year + clock) / (leap(year) ? 366 : 365);
    const int month = month_of(year, in_year, &in_month);
    return ((double)in_month + clock) / days_in(year, month);
}
