#include "schema/export/c_source.h"
int schema_c_source(const struct schema_model *model, const char *name, struct schema_text *out, struct bp_error *error) {
    (void)model, (void)name, (void)out;
    return bp_error_unsupported(error, "", "not yet");
}
