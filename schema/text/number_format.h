/* number_format.h - numbers as people write them: 1,234.50, 1.234,50 EUR, 12 %, $12.50, (1.50). Which of these a column uses is its number format.
 *
 * A format is a list of words, separated by blanks or "+":
 *     plain                                      as programs write numbers; nothing else
 *     thousands_comma thousands_point            digits in groups of three: 1,234,567; the last two digits groups of India too: 12,34,567
 *     thousands_space thousands_apostrophe
 *     decimal_comma                              1234,5
 *     percent                                    12% is 12
 *     currency=EUR (a code or a sign)            12.50 EUR, $12.50
 *     accounting                                 (1.50), 1.50- and a minus sign U+2212
 * Whatever its format, a column also takes plain numbers, so that rows that were downloaded fit again. With thousands_point a point before exactly
 * three digits groups them. */
#ifndef SCHEMA_NUMBER_FORMAT_H
#define SCHEMA_NUMBER_FORMAT_H

#include "engine/base/base.h"

enum { SCHEMA_NUMBER_FORMAT_TEXT = 96 };

/* The marks that numbers may be written with. */
enum schema_number_marks {
    SCHEMA_MARKS_PLAIN,            /* 1234.5 */
    SCHEMA_MARKS_COMMA_POINT,      /* 1,234.5 */
    SCHEMA_MARKS_SPACE_POINT,      /* 1 234.5 */
    SCHEMA_MARKS_APOSTROPHE_POINT, /* 1'234.5 */
    SCHEMA_MARKS_POINT_COMMA,      /* 1.234,5 */
    SCHEMA_MARKS_SPACE_COMMA,      /* 1 234,5 */
    SCHEMA_MARKS
};

/* Zero: plain. */
struct schema_number_format {
    enum schema_number_marks marks;
    bool grouped; /* the marks of thousands are in use, and not only the decimal mark */
    bool percent, accounting;
    char currency[8]; /* UTF-8; "": none */
};

/* The formats that one text allows for its column. */
struct schema_number_spelling {
    unsigned marks;                   /* a bit for each enum schema_number_marks that makes a number of it; 0: it is none */
    unsigned grouped;                 /* of these, where the mark of thousands is in it */
    bool fraction;                    /* a decimal mark, or an exponent */
    bool percent, accounting, narrow; /* narrow: grouped by a space that is no blank */
    char currency[8];
};

/* False: text is no number in any way. */
bool schema_number_spell(const char *text, size_t size, struct schema_number_spelling *spelling);
/* A whole cell as a number, in that format or plain. */
bool schema_number_read(const struct schema_number_format *format, const char *text, size_t size, double *number);
/* The same, the format as a text or NULL (plain). */
bool schema_number_read_as(const char *format, const char *text, size_t size, double *number);
/* False: not a format. */
bool schema_number_format_parse(const char *text, struct schema_number_format *format);
/* "" for plain. Returns text. */
const char *schema_number_format_text(const struct schema_number_format *format, char text[static SCHEMA_NUMBER_FORMAT_TEXT]);

/* What a text of digits loses as a number. */
enum schema_number_loss { SCHEMA_LOSS_NONE, SCHEMA_LOSS_ZEROS /* 00501 */, SCHEMA_LOSS_DIGITS /* an integer beyond 2^53 with more than 15 digits */ };
enum schema_number_loss schema_number_loss(const char *text, size_t size);

#endif
