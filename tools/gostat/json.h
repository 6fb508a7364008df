/* json.h: a reader of JSON (RFC 8259) that believes nothing. */
#ifndef GOSTAT_JSON_H_
#define GOSTAT_JSON_H_

#include <stddef.h>
#include <stdint.h>

typedef enum json_type {
  JSON_NULL,
  JSON_BOOL,
  JSON_NUMBER,
  JSON_STRING,
  JSON_LIST,
  JSON_OBJECT
} json_type;

typedef struct json {
  json_type type;
  int64_t number;     /* of a NUMBER, cut to an integer; of a BOOL 0 or 1 */
  const char *text;   /* of a STRING, ends with a 0 byte */
  const char *key;    /* in an object */
  struct json *first; /* of a LIST or an OBJECT */
  struct json *next;
  size_t count; /* of what is in it */
} json;

typedef struct json_doc json_doc;

/* Reads all of text, and writes into it: both have to stay together. NULL: it is no JSON, or there is no memory. */
json_doc *json_read(char *text, size_t n);
const json *json_root(const json_doc *d);
void json_free(json_doc *d);

/* What an object has under key; something without contents if it has not, or j is no object. Never NULL. */
const json *json_get(const json *j, const char *key);
int64_t json_number(const json *j, const char *key);
const char *json_text(const json *j, const char *key);
/* Number i of a list. */
const json *json_at(const json *j, size_t i);

#endif /* GOSTAT_JSON_H_ */
