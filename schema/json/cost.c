/* cost.c - see cost.h. Figures measured with malloc_usable_size over jansson 2.14: an object with its 8 buckets 344 bytes, an array with
 * room for 8 144, a pair of an object 88 and its key, a string 48 and its bytes, a number 32. Room in arrays doubles, so up to 16 bytes an element.
 */
#include "schema/json/cost.h"

#include <stdbool.h>

enum { OBJECT = 360, ARRAY = 144, PAIR = 112, STRING = 48, NUMBER = 32, ELEMENT = 16 };

struct schema_json_cost schema_json_cost(const char *text, size_t size) {
    struct schema_json_cost cost = {0};
    int depth = 0;
    int64_t members = 0;
    bool inside = false; /* a number or a literal */
    for (size_t i = 0; i < size; i++) {
        const char c = text[i];
        const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || c == '-' || c == '+' || c == '.' || c == 'E';
        if (plain && !inside) {
            cost.values++;
            cost.bytes += NUMBER + ELEMENT;
        }
        inside = plain;
        if (plain) continue;
        if (c == '"') {
            const size_t start = i;
            while (++i < size && text[i] != '"')
                if (text[i] == '\\') i++;
            cost.values++;
            cost.bytes += STRING + ELEMENT + (int64_t)(i - start);
        } else if (c == ':') { /* the string before it was a key, which is copied into its pair */
            cost.values--;
            cost.bytes += PAIR - STRING - ELEMENT;
        } else if (c == '{' || c == '[') {
            cost.values++;
            cost.bytes += (c == '{' ? OBJECT : ARRAY) + ELEMENT;
            if (++depth > cost.depth) cost.depth = depth;
            if (depth == 2) members = 1;
        } else if (c == '}' || c == ']') {
            if (depth-- == 2 && c == ']' && members > cost.members) cost.members = members;
        } else if (c == ',' && depth == 2) members++;
    }
    return cost;
}
