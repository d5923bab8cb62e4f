/* predict_stream.h - predictions of rows that are sent as CSV or JSON lines, of any number. */
#ifndef SERVER_PREDICT_STREAM_H
#define SERVER_PREDICT_STREAM_H

#include "server/http/request.h"

/* The query parameters of such rows. */
#define PREDICT_STREAM_QUERY "coverage,decimal,header,keep,quote,separator,strict,thresholds"
/* Takes the rows as they arrive: request->sink. */
extern const struct body_sink predict_stream_sink;
struct loaded;
struct schema_predictor;
/* The rows of a request are counted beside the training rows of the version. */
void predict_count(const struct server *server, const char *name, const struct loaded *loaded, const struct schema_predictor *predictor);
/* The rows are complete. */
void predict_stream_answer(struct request *request);

#endif
