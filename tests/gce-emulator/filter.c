/* SPDX-License-Identifier: Apache-2.0 */
#include "filter.h"

#include <ctype.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { AND, OR, NOT, COMPARE };

struct em_filter {
    enum kind kind;
    struct em_filter *left, *right; /* of AND, OR, NOT */
    char *field;
    char sign[4];
    char *literal;
    regex_t expression; /* of eq and ne */
    bool compiled;
};

struct parser {
    const char *at;
    bool failed;
};

static struct em_filter *parse_or(struct parser *parser);

static void skip_space(struct parser *parser)
{
    while (isspace((unsigned char)*parser->at)) {
        parser->at++;
    }
}

/* A word stands for itself only when no letter follows. */
static bool take_word(struct parser *parser, const char *word)
{
    size_t length = strlen(word);

    skip_space(parser);
    if (strncmp(parser->at, word, length) != 0 || isalnum((unsigned char)parser->at[length])) {
        return false;
    }
    parser->at += length;
    return true;
}

static bool take(struct parser *parser, const char *text)
{
    skip_space(parser);
    if (strncmp(parser->at, text, strlen(text)) != 0) {
        return false;
    }
    parser->at += strlen(text);
    return true;
}

static char *take_token(struct parser *parser, const char *stop)
{
    const char *from;

    skip_space(parser);
    if (*parser->at == '"' || *parser->at == '\'') {
        char quote = *parser->at++;

        from = parser->at;
        while (*parser->at != '\0' && *parser->at != quote) {
            parser->at++;
        }
        if (*parser->at == '\0') {
            parser->failed = true;
            return NULL;
        }
        return em_format("%.*s", (int)(parser->at++ - from), from);
    }
    from = parser->at;
    parser->at += strcspn(parser->at, stop);
    if (parser->at == from) {
        parser->failed = true;
        return NULL;
    }
    return em_format("%.*s", (int)(parser->at - from), from);
}

static bool take_operator(struct parser *parser, char *sign)
{
    static const char *const signs[] = {"!=", ">=", "<=", "=", ">", "<", ":"};

    if (take_word(parser, "eq") || take_word(parser, "ne")) {
        snprintf(sign, 4, "%.2s", parser->at - 2);
        return true;
    }
    for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
        if (take(parser, signs[i])) {
            snprintf(sign, 4, "%s", signs[i]);
            return true;
        }
    }
    parser->failed = true;
    return false;
}

static struct em_filter *node(enum kind kind, struct em_filter *left, struct em_filter *right)
{
    struct em_filter *filter = em_alloc(sizeof(*filter));

    filter->kind = kind;
    filter->left = left;
    filter->right = right;
    return filter;
}

static void compile(struct parser *parser, struct em_filter *filter)
{
    char *whole;

    if (filter->sign[0] != 'e' && filter->sign[0] != 'n') {
        return;
    }
    whole = em_format("^(%s)$", filter->literal);
    filter->compiled = regcomp(&filter->expression, whole, REG_EXTENDED | REG_NOSUB) == 0;
    parser->failed = parser->failed || !filter->compiled;
    free(whole);
}

static struct em_filter *parse_comparison(struct parser *parser)
{
    struct em_filter *filter = node(COMPARE, NULL, NULL);

    filter->field = take_token(parser, " \t()=!<>:");
    if (!parser->failed && take_operator(parser, filter->sign)) {
        filter->literal = take_token(parser, " \t()");
    }
    if (!parser->failed) {
        compile(parser, filter);
    }
    return filter;
}

static struct em_filter *parse_term(struct parser *parser)
{
    struct em_filter *inner;

    if (take_word(parser, "NOT") || take(parser, "-")) {
        return node(NOT, parse_term(parser), NULL);
    }
    if (!take(parser, "(")) {
        return parse_comparison(parser);
    }
    inner = parse_or(parser);
    parser->failed = parser->failed || !take(parser, ")");
    return inner;
}

static struct em_filter *parse_and(struct parser *parser)
{
    struct em_filter *left = parse_term(parser);

    while (!parser->failed) {
        const char *before;

        skip_space(parser);
        before = parser->at;
        if (*before == '\0' || *before == ')') {
            break;
        }
        if (take_word(parser, "OR")) {
            parser->at = before;
            break;
        }
        (void)take_word(parser, "AND");
        left = node(AND, left, parse_term(parser));
    }
    return left;
}

static struct em_filter *parse_or(struct parser *parser)
{
    struct em_filter *left = parse_and(parser);

    while (!parser->failed && take_word(parser, "OR")) {
        left = node(OR, left, parse_and(parser));
    }
    return left;
}

struct em_filter *em_filter_parse(const char *text)
{
    struct parser parser = {text, false};
    struct em_filter *filter = parse_or(&parser);

    skip_space(&parser);
    if (parser.failed || *parser.at != '\0') {
        em_filter_free(filter);
        return NULL;
    }
    return filter;
}

void em_filter_free(struct em_filter *filter)
{
    if (filter == NULL) {
        return;
    }
    em_filter_free(filter->left);
    em_filter_free(filter->right);
    if (filter->compiled) {
        regfree(&filter->expression);
    }
    free(filter->field);
    free(filter->literal);
    free(filter);
}

/* Follows the dots; a label's key may hold none, so that is enough. */
static const json_t *field_of(const json_t *resource, const char *field)
{
    while (resource != NULL) {
        size_t length = strcspn(field, ".");
        char name[128];

        snprintf(name, sizeof(name), "%.*s", (int)length, field);
        resource = json_object_get(resource, name);
        if (field[length] == '\0') {
            return resource;
        }
        field += length + 1;
    }
    return NULL;
}

static void as_text(const json_t *value, char *text, size_t size)
{
    if (json_is_string(value)) {
        snprintf(text, size, "%s", json_string_value(value));
    } else if (json_is_integer(value)) {
        snprintf(text, size, "%lld", (long long)json_integer_value(value));
    } else if (json_is_boolean(value)) {
        snprintf(text, size, "%s", json_is_true(value) ? "true" : "false");
    } else {
        text[0] = '\0';
    }
}

/* Numbers by size, everything else by its letters. */
static int compare(const char *a, const char *b)
{
    char *end_a, *end_b;
    double x = strtod(a, &end_a), y = strtod(b, &end_b);

    if (*a != '\0' && *b != '\0' && *end_a == '\0' && *end_b == '\0') {
        return (x > y) - (x < y);
    }
    return strcasecmp(a, b);
}

/* One "*" stands for anything, as in name="master-*". */
static bool equal(const char *text, const char *pattern)
{
    const char *star = strchr(pattern, '*');
    size_t before, after;

    if (star == NULL) {
        return compare(text, pattern) == 0;
    }
    before = (size_t)(star - pattern);
    after = strlen(star + 1);
    return strlen(text) >= before + after && strncmp(text, pattern, before) == 0 &&
           strcmp(text + strlen(text) - after, star + 1) == 0;
}

static bool has(const json_t *value, const char *text, const char *literal)
{
    const json_t *element;
    size_t i;

    if (json_is_array(value)) {
        json_array_foreach(value, i, element)
        {
            char inside[256];

            as_text(element, inside, sizeof(inside));
            if (equal(inside, literal)) {
                return true;
            }
        }
        return false;
    }
    if (json_is_object(value)) {
        return json_object_get(value, literal) != NULL || (strcmp(literal, "*") == 0 && json_object_size(value) > 0);
    }
    if (strcmp(literal, "*") == 0) {
        return value != NULL;
    }
    return value != NULL && strcasestr(text, literal) != NULL;
}

static bool match_comparison(const struct em_filter *filter, const json_t *resource)
{
    const json_t *value = field_of(resource, filter->field);
    char text[2048];
    int order;

    as_text(value, text, sizeof(text));
    if (filter->sign[0] == ':') {
        return has(value, text, filter->literal);
    }
    if (filter->compiled) {
        return (regexec(&filter->expression, text, 0, NULL, 0) == 0) == (filter->sign[0] == 'e');
    }
    if (filter->sign[0] == '=') {
        return value != NULL && equal(text, filter->literal);
    }
    if (filter->sign[0] == '!') {
        return value == NULL || !equal(text, filter->literal);
    }
    if (value == NULL) {
        return false;
    }
    order = compare(text, filter->literal);
    if (order == 0) {
        return filter->sign[1] == '=';
    }
    return (order > 0) == (filter->sign[0] == '>');
}

bool em_filter_match(const struct em_filter *filter, const json_t *resource)
{
    if (filter == NULL) {
        return true;
    }
    switch (filter->kind) {
    case AND:
        return em_filter_match(filter->left, resource) && em_filter_match(filter->right, resource);
    case OR:
        return em_filter_match(filter->left, resource) || em_filter_match(filter->right, resource);
    case NOT:
        return !em_filter_match(filter->left, resource);
    case COMPARE:
        break;
    }
    return match_comparison(filter, resource);
}

const char *em_filter_label(const struct em_filter *filter, const char **value)
{
    const char *label;

    if (filter == NULL) {
        return NULL;
    }
    if (filter->kind == AND) {
        label = em_filter_label(filter->left, value);
        return label != NULL ? label : em_filter_label(filter->right, value);
    }
    if (filter->kind != COMPARE || strcmp(filter->sign, "=") != 0 || strncmp(filter->field, "labels.", 7) != 0 ||
        strchr(filter->field + 7, '.') != NULL || filter->literal[0] < 'a' || filter->literal[0] > 'z' ||
        strpbrk(filter->literal, "*ABCDEFGHIJKLMNOPQRSTUVWXYZ") != NULL) {
        return NULL;
    }
    *value = filter->literal;
    return filter->field + 7;
}

static const char name_characters[] = "abcdefghijklmnopqrstuvwxyz0123456789-";

static bool is_of_name(const struct em_filter *filter, const char *sign)
{
    return filter->kind == COMPARE && strcmp(filter->field, "name") == 0 && strcmp(filter->sign, sign) == 0;
}

bool em_filter_names(const struct em_filter *filter, const char **names, size_t room, size_t *count)
{
    size_t left = 0, right = 0;

    if (filter == NULL || filter->kind == NOT) {
        return false;
    }
    if (filter->kind == AND) {
        return em_filter_names(filter->left, names, room, count) || em_filter_names(filter->right, names, room, count);
    }
    if (filter->kind == OR) {
        if (!em_filter_names(filter->left, names, room, &left) ||
            !em_filter_names(filter->right, names + left, room - left, &right)) {
            return false;
        }
        *count = left + right;
        return true;
    }
    if (!is_of_name(filter, "=") || room == 0 || filter->literal[strspn(filter->literal, name_characters)] != '\0') {
        return false;
    }
    names[0] = filter->literal;
    *count = 1;
    return true;
}

/* Not within parentheses, of which one may begin like the other. Where some may be meant as themselves, any counts. */
static bool is_alternatives(const char *expression)
{
    int depth = 0;

    if (strpbrk(expression, "\\[") != NULL) {
        return strchr(expression, '|') != NULL;
    }

    for (; *expression != '\0'; expression++) {
        depth += (*expression == '(') - (*expression == ')');
        if (*expression == '|' && depth <= 0) {
            return true;
        }
    }
    return false;
}

/* Up to what means something else in an expression, and less the character that a repetition is of. */
const char *em_filter_prefix(const struct em_filter *filter, size_t *length)
{
    const char *prefix;

    if (filter == NULL) {
        return NULL;
    }
    if (filter->kind == AND) {
        prefix = em_filter_prefix(filter->left, length);
        return prefix != NULL ? prefix : em_filter_prefix(filter->right, length);
    }
    if (!is_of_name(filter, "eq")) {
        return NULL;
    }
    if (is_alternatives(filter->literal)) {
        return NULL;
    }
    *length = strspn(filter->literal, name_characters);
    if (*length > 0 && filter->literal[*length] != '\0' && strchr("*?{", filter->literal[*length]) != NULL) {
        (*length)--;
    }
    return *length > 0 ? filter->literal : NULL;
}
