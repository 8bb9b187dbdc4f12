/* SPDX-License-Identifier: Apache-2.0 */
/* app/eval/eval.h — `larder eval-serve`: the semantic tier driven over stdin and stdout, for judging it (`make eval`).
 *
 * One JSON object a line each way, one reply for every request, in order:
 *   {"op":"reset","ns":N}                         {"ok":true}   the namespace is empty
 *   {"op":"put","ns":N,"key":K,"text":T}          {"ok":true}   said once it is queued
 *   {"op":"get","ns":N,"text":T}                  {"hit":bool,"key":K or null,"score":S or null,"veto":[names]}
 *   {"op":"about"}                                {"embedder":…,"dim":…,"threshold":…,"guards":…}
 * With --mode learn a reply to get also says the threshold then in force and, as "label", whether the box would now compare
 * the candidate's answer with a fresh one; whoever asks knows what is right and says so:
 *   {"op":"label","ns":N,"score":S,"right":bool}  {"ok":true}
 * What is not understood is answered by {"error":"..."}.
 *
 * Path:    the production one: a store in a temporary data folder, vectors made on a worker, cache_put, semantic_lookup,
 *          guards, cache/threshold. A key is the stored answer. The rotation secret is fixed by the tenant, so that runs
 *          are alike.
 * Owner:   a process of its own; the folder goes with it.
 * Fails:   exit codes: 0 input ended, 1 failed, 2 usage; the reason is on stderr.
 */
#ifndef APP_EVAL_EVAL_H
#define APP_EVAL_EVAL_H

/* The words after `larder eval-serve`. */
int eval_serve(int argc, char **argv);

#endif
