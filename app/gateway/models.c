/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/models.c — the list of models: one path, two shapes. */
#include <stdio.h>

#include "app/gateway/dialect.h"
#include "platform/rc.h"

static const struct model_entry own_model = {
    .id = {"larder", 6}, .owner = {"larder", 6}, .display_name = {"Larder, from the box's own packs", 32}};

/* Days from 1970-01-01 of a date in the proleptic Gregorian calendar, and back: eras of 400 years beginning in March, so
 * that the leap day is a year's last. */
enum { ERA_DAYS = 146097, EPOCH_DAYS = 719468, DAY_S = 86400 };

static int64_t days_of_date(int64_t year, int64_t month, int64_t day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400, of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year - EPOCH_DAYS;
}

static void date_of_days(int64_t days, int64_t *year, int64_t *month, int64_t *day)
{
    days += EPOCH_DAYS;
    int64_t era = (days >= 0 ? days : days - (ERA_DAYS - 1)) / ERA_DAYS, rest = days - era * ERA_DAYS;
    int64_t of_era = (rest - rest / 1460 + rest / 36524 - rest / 146096) / 365;
    int64_t of_year = rest - (365 * of_era + of_era / 4 - of_era / 100), shifted = (5 * of_year + 2) / 153;
    *day = of_year - (153 * shifted + 2) / 5 + 1;
    *month = shifted + (shifted < 10 ? 3 : -9);
    *year = of_era + era * 400 + (*month <= 2);
}

static bool two_digits(struct span s, size_t at, int64_t *value)
{
    uint64_t number;
    if (at + 2 > s.size || span_to_u64(span_of(s.data + at, 2), 99, &number) != RC_OK) return false;
    *value = (int64_t)number;
    return true;
}

/* RFC 3339 section 5.6, in UTC or with an offset; 0 when it is not one. */
static int64_t read_time(struct span s)
{
    int64_t century = 0, year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, offset_h = 0, offset_m = 0;
    bool date = two_digits(s, 0, &century) && two_digits(s, 2, &year) && two_digits(s, 5, &month) &&
                two_digits(s, 8, &day);
    bool time = two_digits(s, 11, &hour) && two_digits(s, 14, &minute) && two_digits(s, 17, &second);
    if (!date || !time) return 0;
    char sign = s.data[s.size - 1] == 'Z' || s.size < 25 ? 'Z' : s.data[s.size - 6];
    if (sign == '+' || sign == '-')
        (void)(two_digits(s, s.size - 5, &offset_h) && two_digits(s, s.size - 2, &offset_m));
    int64_t offset = (offset_h * 60 + offset_m) * 60 * (sign == '-' ? -1 : 1);
    return days_of_date(century * 100 + year, month, day) * DAY_S + hour * 3600 + minute * 60 + second - offset;
}

static void put_time(struct text *out, int64_t time_s)
{
    int64_t year, month, day;
    if (time_s < 0 || time_s / DAY_S > INT32_MAX) time_s = 0;
    date_of_days(time_s / DAY_S, &year, &month, &day);
    int64_t rest = time_s % DAY_S;
    text_format(out, "\"%04lld-%02lld-%02lldT%02lld:%02lld:%02lldZ\"", (long long)year, (long long)month,
                (long long)day, (long long)(rest / 3600), (long long)(rest / 60 % 60), (long long)(rest % 60));
}

/* ---- reading */

static int read_model(const struct json_value *v, struct arena *arena, struct model_entry *model)
{
    struct span owner = json_string(json_get(v, "owned_by"));
    if (json_kind(json_get(v, "type")) == JSON_STRING && owner.size == 0) owner = SPAN("anthropic");
    *model = (struct model_entry){
        .id = arena_copy(arena, json_string(json_get(v, "id"))),
        .owner = arena_copy(arena, owner),
        .display_name = arena_copy(arena, json_string(json_get(v, "display_name"))),
        .created_s = read_time(json_string(json_get(v, "created_at"))),
    };
    (void)json_i64(json_get(v, "created"), &model->created_s);
    return model->id.data && model->owner.data && model->display_name.data ? RC_OK : RC_FULL;
}

int models_read(struct span body, struct json_scratch *scratch, struct arena *arena, struct model_entry *models,
                unsigned max, unsigned *count, bool *has_more)
{
    const struct json_value *root;
    *count = 0;
    *has_more = false;
    int rc = json_parse(scratch, body, &root, NULL);
    if (rc != RC_OK) return rc;
    const struct json_value *list = json_kind(root) == JSON_ARRAY ? root : json_get(root, "data");
    if (json_kind(list) != JSON_ARRAY) return RC_INVALID;
    *has_more = json_is_true(json_get(root, "has_more"));
    struct json_walk walk = json_walk(list);
    while (*count < max && json_next(&walk)) {
        if (json_string(json_get(walk.value, "id")).size == 0) continue;
        rc = read_model(walk.value, arena, &models[*count]);
        if (rc != RC_OK) return rc;
        ++*count;
    }
    return RC_OK;
}

/* ---- writing */

static void put_openai(struct text *out, const struct model_entry *model)
{
    text_put_text(out, "{\"id\":");
    text_put_json(out, model->id);
    text_put_text(out, ",\"object\":\"model\",\"created\":");
    text_put_i64(out, model->created_s);
    text_put_text(out, ",\"owned_by\":");
    text_put_json(out, model->owner);
    text_put_char(out, '}');
}

static void put_anthropic(struct text *out, const struct model_entry *model)
{
    text_put_text(out, "{\"type\":\"model\",\"id\":");
    text_put_json(out, model->id);
    text_put_text(out, ",\"display_name\":");
    text_put_json(out, model->display_name.size > 0 ? model->display_name : model->id);
    text_put_text(out, ",\"created_at\":");
    put_time(out, model->created_s);
    text_put_char(out, '}');
}

static bool is_listed(const struct model_entry *models, unsigned count, struct span id)
{
    for (unsigned i = 0; i < count; i++)
        if (span_equal(models[i].id, id)) return true;
    return false;
}

bool models_write_one(enum dialect dialect, const struct model_entry *models, unsigned count, struct span id,
                      struct text *out)
{
    for (unsigned i = 0; i < count; i++) {
        if (!span_equal(models[i].id, id)) continue;
        if (dialect == DIALECT_OPENAI)
            put_openai(out, &models[i]);
        else
            put_anthropic(out, &models[i]);
        return true;
    }
    return false;
}

void models_write(enum dialect dialect, const struct model_entry *models, unsigned count, struct text *out)
{
    bool openai = dialect == DIALECT_OPENAI, own = !is_listed(models, count, own_model.id);
    struct span first = count > 0 ? models[0].id : own_model.id, last = own_model.id;
    const char *separator = "";
    text_put_text(out, openai ? "{\"object\":\"list\",\"data\":[" : "{\"data\":[");
    for (unsigned i = 0; i < count + own; i++) {
        const struct model_entry *model = i < count ? &models[i] : &own_model;
        if (is_listed(models, i < count ? i : 0, model->id)) continue;
        text_put_text(out, separator);
        separator = ",";
        if (openai)
            put_openai(out, model);
        else
            put_anthropic(out, model);
        last = model->id;
    }
    text_put_char(out, ']');
    if (!openai) {
        text_put_text(out, ",\"has_more\":false,\"first_id\":");
        text_put_json(out, first);
        text_put_text(out, ",\"last_id\":");
        text_put_json(out, last);
    }
    text_put_char(out, '}');
}
