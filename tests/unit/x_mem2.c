#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include "net/tls_private.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/plan.h"
#include "platform/offload.h"
#include "tests/support/net_test.h"
static struct net_tls_peer peer; static struct tls_trust *trust;
static size_t h0;
static void serve(struct stream*s,unsigned i){(void)i; net_tls_peer_request(s);}
static void body(void*a){(void)a; struct stream s; char m[TLS_MESSAGE_MAX];
 stream_init(&s,net_test_connect(peer.port)); uint64_t t=clock_monotonic_us(); int rc=tls_connect(&s,trust,SPAN("larder.test"),net_test_in_ms(5000),m); t=clock_monotonic_us()-t; fiber_sleep_until(net_test_in_ms(20));
 printf("rc %d both sides idle +%zu high +%zu %lu us\n",rc,heap_usage(HEAP_MBEDTLS).used-h0,heap_usage(HEAP_MBEDTLS).high-h0,(unsigned long)t); stream_close(&s,false); fiber_sleep_until(net_test_in_ms(20));}
static void load(void*t){uint64_t a=clock_monotonic_us(); tls_trust_refresh(t); printf("bundle indexed in %lu us, private %zu KiB\n",(unsigned long)(clock_monotonic_us()-a),plan_private_now()/1024);}
static void body2(void*a){offload(load,a);}
int main(void){void*st=NULL; net_test_start(&st); char m[TLS_MESSAGE_MAX]; 
 const char*k[2]={"ec","rsa"}; for(int i=0;i<2;i++) for(int v=0;v<2;v++){ char c[64],e[64]; snprintf(c,64,"tests/data/tls/%s.pem",k[i]);snprintf(e,64,"tests/data/tls/%s.key",k[i]); struct tls_server*sv; tls_server_load(c,e,&sv,m);
 mbedtls_ssl_conf_max_tls_version(&sv->config,v?MBEDTLS_SSL_VERSION_TLS1_3:MBEDTLS_SSL_VERSION_TLS1_2);
 tls_trust_load(SPAN("file:/tmp/roots.pem"),SPAN(""),&trust,m); h0=heap_usage(HEAP_MBEDTLS).used; printf("%s 1.%d ",k[i],v+2); net_tls_peer_start(&peer,sv,serve); net_test_run(body,NULL); net_test_run(body,NULL); net_tls_peer_stop(&peer); tls_server_release(sv); tls_trust_release(trust);}
 printf("private %zu KiB\n",plan_private_now()/1024);
 tls_trust_load(SPAN("system"),SPAN(""),&trust,m); net_test_run(body2,trust); net_test_run(body2,trust); return 0;}
