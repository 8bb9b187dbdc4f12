/* SPDX-License-Identifier: Apache-2.0 */
/* app/gateway/flight_money.h — what a flight costs, who is charged, and what happens when the tenant may not ask.
 *
 * Threads: lane only, on the leader's fiber.
 */
#ifndef GATEWAY_FLIGHT_MONEY_H
#define GATEWAY_FLIGHT_MONEY_H

#include "app/gateway/flight_call.h"
#include "app/gateway/limits.h"

/* The answer has been judged: its usage and its cost, before an entry is made of it. */
void flight_price(struct flight *f, const struct verdict *verdict);
/* The call is over, however it ended: limits, spending. */
void flight_charge(struct flight *f);
/* Everyone has had the answer: what the followers saved. */
void flight_charge_followers(const struct flight *f);

/* 429 that says which limit. */
void flight_refuse_limited(struct flight *f, const struct limit_refusal *refusal);
/* Instead of a call: a stored answer past its time, or that refusal; nothing in the background. */
void flight_answer_limited(struct flight *f, const struct limit_refusal *refusal);

#endif
