/* catalog.c - see catalog.h. */
#include "schema/catalog/catalog.h"

#include "schema/ingest/ingest.h"
#include "schema/json/values.h"
#include "schema/preprocessing/options.h"
#include "schema/training/options.h"

json_t *schema_catalog(void) {
    json_t *catalog = json_pack("{s:s}", "object", "catalog");
    for (int32_t i = 0; i < bp_families_count; i++) json_object_set_new(catalog, bp_families[i]->name, schema_family_encode(bp_families[i]));
    json_object_set_new(catalog, schema_formats.name, schema_family_encode(&schema_formats));
    json_object_set_new(catalog, schema_options_family.name, schema_family_encode(&schema_options_family));
    json_object_set_new(catalog, "columns", schema_column_types_encode());
    return catalog;
}
