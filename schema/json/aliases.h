/* aliases.h - names from Keras, PyTorch and scikit-learn, and the names to use here. */
#ifndef SCHEMA_ALIASES_H
#define SCHEMA_ALIASES_H

#include "engine/base/base.h"

struct schema_alias {
    const char *kind;  /* "layer", "loss", ...: the noun of a family; "field" for members of objects */
    const char *names; /* separated by spaces */
    const char *write; /* JSON, "": there is nothing of the kind */
    const char *note;  /* or "" */
};
extern const struct schema_alias schema_aliases[];
extern const int32_t schema_aliases_count;

/* Fills text with `; write {"type":"rnn"} (...)` for a name that another library has for that kind; "" where none is known. Returns text. */
const char *schema_alias_hint(const char *kind, const char *name, char *text, size_t size);

#endif
