/* SPDX-License-Identifier: Apache-2.0 */
/* app/embed_serve.h — `larder embed-serve`: texts in, vectors out, one JSON object a line each way.
 *
 * {"op":"embed","text":T} is answered by {"ids":[...],"vector":[...]}; what cannot be answered by {"error":"..."}. Every
 * line has one reply, in order. A text over 256 pieces is cut there.
 *
 * Owner:   a process of its own, for judging the embedder (`make eval`) and for scripts.
 * Fails:   exit codes: 0 input ended, 1 failed, 2 usage; the reason is on stderr.
 */
#ifndef APP_EMBED_SERVE_H
#define APP_EMBED_SERVE_H

/* The words after `larder embed-serve`: --model FILE, --embedder NAME. */
int embed_serve(int argc, char **argv);

#endif
