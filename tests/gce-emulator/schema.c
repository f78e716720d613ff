/* SPDX-License-Identifier: Apache-2.0 */
#include "schema.h"

#include <regex.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/json.h"

static json_t *document;
static json_t *methods; /* "instances.insert" -> method; borrowed by reference */

static char *check_value(const json_t *schema, const json_t *value, const char *path, bool strict);

bool em_schema_load(const char *path)
{
    json_error_t error;
    const char *collection, *name;
    json_t *resource, *method;

    document = json_load_file(path, 0, &error);
    if (document == NULL) {
        em_log(0, "%s: %s", path, error.text);
        return false;
    }
    methods = json_object();
    json_object_foreach(json_object_get(document, "resources"), collection, resource)
    {
        json_object_foreach(json_object_get(resource, "methods"), name, method)
        {
            char *id = em_format("%s.%s", collection, name);

            json_object_set(methods, id, method);
            free(id);
        }
    }
    if (json_object_size(methods) == 0 || !json_is_object(json_object_get(document, "schemas"))) {
        em_log(0, "%s: this is no discovery document of Compute Engine", path);
        em_schema_free();
        return false;
    }
    return true;
}

bool em_schema_loaded(void)
{
    return document != NULL;
}

/* The document says itself that it lacks that collection, so nothing is known of its methods. */
static bool is_lacking(const struct em_method *method)
{
    size_t index;
    json_t *collection;

    json_array_foreach(json_object_get(document, "lacks"), index, collection)
    {
        const char *name = json_string_value(collection);
        size_t length = name == NULL ? 0 : strlen(name);

        if (length > 0 && strncmp(method->id, name, length) == 0 && method->id[length] == '.') {
            return true;
        }
    }
    return false;
}

char *em_schema_method_wrong(const struct em_method *method)
{
    const json_t *known = json_object_get(methods, method->id);

    if (document == NULL || is_lacking(method)) {
        return NULL;
    }
    if (known == NULL) {
        return em_format("%s: the schema has no such method", method->id);
    }
    if (strcmp(em_text(known, "path"), method->path) != 0 || strcmp(em_text(known, "httpMethod"), method->verb) != 0) {
        return em_format("%s: %s %s here, %s %s in the schema", method->id, method->verb, method->path,
                         em_text(known, "httpMethod"), em_text(known, "path"));
    }
    return NULL;
}

/* Google's patterns are Perl's; what POSIX lacks of that is "(?:" and, in brackets, "\\w". Caller frees. */
static char *posix_pattern(const char *pattern)
{
    char *posix = em_alloc(strlen(pattern) * 12 + 8), *to = posix;
    bool bracket = false, dash = false;

    to += sprintf(to, "^(");
    for (const char *p = pattern; *p != '\0'; p++) {
        bracket = (bracket || *p == '[') && *p != ']';
        if (strncmp(p, "(?:", 3) == 0) {
            *to++ = '(';
            p += 2;
        } else if (strncmp(p, "\\w", 2) == 0) {
            to += sprintf(to, bracket ? "[:alnum:]_" : "[[:alnum:]_]");
            p++;
        } else if (bracket && *p == '-' && to[-2] == '-' && to[-3] != '[') {
            dash = true; /* "a-z-" */
        } else {
            if (*p == ']' && dash) {
                *to++ = '-';
                dash = false;
            }
            *to++ = *p;
        }
    }
    strcpy(to, ")$");
    return posix;
}

/* Compiling takes much longer than matching, and there are a few dozen patterns. */
struct compiled {
    char *pattern;
    regex_t expression;
};

static void *patterns; /* a tree of tsearch(3) */

static int compare_patterns(const void *a, const void *b)
{
    return strcmp(((const struct compiled *)a)->pattern, ((const struct compiled *)b)->pattern);
}

static const regex_t *compiled_pattern(const char *pattern)
{
    struct compiled key = {.pattern = (char *)pattern}, *compiled;
    void *node = tfind(&key, &patterns, compare_patterns);
    char *posix;

    if (node != NULL) {
        return &(*(struct compiled **)node)->expression;
    }
    compiled = em_alloc(sizeof(*compiled));
    compiled->pattern = em_strdup(pattern);
    posix = posix_pattern(pattern);
    if (regcomp(&compiled->expression, posix, REG_EXTENDED | REG_NOSUB) != 0) {
        em_log(0, "the schema's pattern %s is not understood", pattern);
        abort();
    }
    free(posix);
    if (tsearch(compiled, &patterns, compare_patterns) == NULL) {
        abort();
    }
    return &compiled->expression;
}

static void free_pattern(void *node)
{
    struct compiled *compiled = node;

    regfree(&compiled->expression);
    free(compiled->pattern);
    free(compiled);
}

static bool matches(const char *pattern, const char *text)
{
    return regexec(compiled_pattern(pattern), text, 0, NULL, 0) == 0;
}

static bool digits(const char *text, bool sign)
{
    if (sign && *text == '-') {
        text++;
    }
    return *text != '\0' && strspn(text, "0123456789") == strlen(text);
}

/* Clients may write the alphabet for URLs. */
static bool is_base64(const char *text, bool strict)
{
    unsigned char *bytes = em_alloc(strlen(text) + 4);
    char *standard = em_strdup(text);
    bool good;

    for (char *p = standard; !strict && *p != '\0'; p++) {
        *p = *p == '-' ? '+' : *p == '_' ? '/' : *p;
    }
    good = ha_base64_decode(standard, strlen(standard), bytes) >= 0;
    free(standard);
    free(bytes);
    return good;
}

static char *check_string(const json_t *schema, const json_t *value, const char *path, bool strict)
{
    const char *format = em_text(schema, "format"), *pattern = em_text(schema, "pattern");
    const json_t *allowed = json_object_get(schema, "enum");
    const char *text = json_string_value(value);
    bool wide = format != NULL && (strcmp(format, "uint64") == 0 || strcmp(format, "int64") == 0);

    if (text == NULL) {
        return wide && !strict && json_is_integer(value) ? NULL : em_format("%s is not a string", path);
    }
    if (wide && !digits(text, format[0] == 'i')) {
        return em_format("%s is not a number in a string: \"%s\"", path, text);
    }
    if (format != NULL && strcmp(format, "byte") == 0 && !is_base64(text, strict)) {
        return em_format("%s is not base64: \"%s\"", path, text);
    }
    if (allowed != NULL && em_array_find(allowed, text) < 0) {
        return em_format("%s is none of the values that the schema knows: \"%s\"", path, text);
    }
    if (pattern != NULL && !matches(pattern, text)) {
        return em_format("%s does not match %s: \"%s\"", path, pattern, text);
    }
    return NULL;
}

static char *check_object(const json_t *schema, const json_t *value, const char *path, bool strict)
{
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *others = json_object_get(schema, "additionalProperties");
    const char *name;
    json_t *member;
    char *wrong = NULL;

    if (!json_is_object(value)) {
        return em_format("%s is not an object", path);
    }
    json_object_foreach((json_t *)value, name, member)
    {
        const json_t *known = json_object_get(properties, name);
        char *inside = em_format("%s%s%s", path, *path == '\0' ? "" : ".", name);

        if (known == NULL) {
            known = others;
        }
        wrong = known == NULL ? em_format("Unknown name \"%s\" at '%s'", name, path)
                              : check_value(known, member, inside, strict);
        free(inside);
        if (wrong != NULL) {
            break;
        }
    }
    return wrong;
}

static char *check_array(const json_t *schema, const json_t *value, const char *path, bool strict)
{
    json_t *element;
    char *wrong = NULL;
    size_t i;

    if (!json_is_array(value)) {
        return em_format("%s is not an array", path);
    }
    json_array_foreach(value, i, element)
    {
        char *inside = em_format("%s[%zu]", path, i);

        wrong = check_value(json_object_get(schema, "items"), element, inside, strict);
        free(inside);
        if (wrong != NULL) {
            break;
        }
    }
    return wrong;
}

static char *check_scalar(const char *type, const json_t *value, const char *path)
{
    if (strcmp(type, "boolean") == 0 && !json_is_boolean(value)) {
        return em_format("%s is not a boolean", path);
    }
    if (strcmp(type, "number") == 0 && !json_is_number(value)) {
        return em_format("%s is not a number", path);
    }
    if (strcmp(type, "integer") == 0 &&
        (!json_is_integer(value) || json_integer_value(value) > INT32_MAX || json_integer_value(value) < INT32_MIN)) {
        return em_format("%s is not an integer of 32 bits", path);
    }
    return NULL;
}

static char *check_value(const json_t *schema, const json_t *value, const char *path, bool strict)
{
    const char *reference = em_text(schema, "$ref"), *type;

    if (reference != NULL) {
        schema = json_object_get(json_object_get(document, "schemas"), reference);
    }
    type = em_text(schema, "type");
    if (type == NULL || strcmp(type, "any") == 0) {
        return schema == NULL ? em_format("%s has a type that the schema lacks", path) : NULL;
    }
    if (json_is_null(value)) { /* in a request: not set, or cleared by a patch */
        return strict ? em_format("%s is null", path) : NULL;
    }
    if (strcmp(type, "object") == 0) {
        return check_object(schema, value, path, strict);
    }
    if (strcmp(type, "array") == 0) {
        return check_array(schema, value, path, strict);
    }
    if (strcmp(type, "string") == 0) {
        return check_string(schema, value, path, strict);
    }
    return check_scalar(type, value, path);
}

char *em_schema_value_wrong(const char *schema, const json_t *value, bool strict)
{
    json_t *reference = json_pack("{s:s}", "$ref", schema);
    char *wrong = check_value(reference, value, "", strict);

    json_decref(reference);
    return wrong;
}

/* A parameter is text; its type says what the text must be. */
static char *check_parameter(const json_t *parameter, const char *name, const char *text)
{
    const char *type = em_text(parameter, "type");
    const json_t *allowed = json_object_get(parameter, "enum");
    const char *pattern = em_text(parameter, "pattern");

    if (type != NULL && strcmp(type, "integer") == 0 && !digits(text, true)) {
        return em_format("parameter %s is not an integer: \"%s\"", name, text);
    }
    if (type != NULL && strcmp(type, "boolean") == 0 && strcasecmp(text, "true") != 0 &&
        strcasecmp(text, "false") != 0) {
        return em_format("parameter %s is not a boolean: \"%s\"", name, text);
    }
    if (allowed != NULL && em_array_find(allowed, text) < 0) {
        return em_format("parameter %s has a value that the schema does not know: \"%s\"", name, text);
    }
    if (pattern != NULL && !matches(pattern, text)) {
        return em_format("parameter %s does not match %s: \"%s\"", name, pattern, text);
    }
    return NULL;
}

static char *check_given(const json_t *known, const json_t *given, const char *location)
{
    const json_t *common = json_object_get(document, "parameters");
    const char *name;
    json_t *value;

    json_object_foreach((json_t *)given, name, value)
    {
        const json_t *parameter = json_object_get(known, name);
        char *wrong;

        if (parameter == NULL && strcmp(name, "$alt") == 0) {
            name = "alt";
        }
        if (parameter == NULL || strcmp(em_text(parameter, "location"), location) != 0) {
            parameter = json_object_get(common, name);
        }
        if (parameter == NULL) {
            return em_format("there is no %s parameter \"%s\"", location, name);
        }
        wrong = check_parameter(parameter, name, json_string_value(value));
        if (wrong != NULL) {
            return wrong;
        }
    }
    return NULL;
}

char *em_schema_query_wrong(const struct em_request *request)
{
    const json_t *known = json_object_get(json_object_get(methods, request->method->id), "parameters");
    const char *name;
    json_t *parameter;
    char *wrong;

    if (document == NULL || is_lacking(request->method)) {
        return NULL;
    }
    wrong = check_given(known, request->variables, "path");
    if (wrong == NULL) {
        wrong = check_given(known, request->query, "query");
    }
    if (wrong != NULL) {
        return wrong;
    }
    json_object_foreach((json_t *)known, name, parameter)
    {
        if (em_true(parameter, "required") && json_object_get(request->query, name) == NULL &&
            json_object_get(request->variables, name) == NULL) {
            return em_format("required parameter \"%s\" is missing", name);
        }
    }
    return NULL;
}

char *em_schema_body_wrong(const struct em_request *request)
{
    const json_t *schema = json_object_get(json_object_get(methods, request->method->id), "request");

    if (document == NULL || request->body == NULL || is_lacking(request->method)) {
        return NULL;
    }
    if (schema == NULL) {
        return json_object_size(request->body) == 0 ? NULL : em_strdup("this method takes no body");
    }
    return check_value(schema, request->body, "", false);
}

char *em_schema_answer_wrong(const struct em_method *method, const json_t *body)
{
    const json_t *schema = json_object_get(json_object_get(methods, method->id), "response");

    if (document == NULL || is_lacking(method)) {
        return NULL;
    }
    if (schema == NULL) {
        return body == NULL ? NULL : em_strdup("this method answers without a body");
    }
    return body == NULL ? em_strdup("no body") : check_value(schema, body, "", true);
}

void em_schema_free(void)
{
    json_decref(methods);
    json_decref(document);
    methods = document = NULL;
    tdestroy(patterns, free_pattern);
    patterns = NULL;
}
