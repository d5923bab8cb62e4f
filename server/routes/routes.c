/* routes.c - the table of all routes, from routes.def. */
#include "server/http/route.h"

#define ROUTE(name) extern const struct route route_##name;
#include "server/routes/routes.def"
#undef ROUTE

const struct route *const routes[] = {
#define ROUTE(name) &route_##name,
#include "server/routes/routes.def"
#undef ROUTE
};
const int routes_count = sizeof routes / sizeof *routes;
