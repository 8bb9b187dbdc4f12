#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include "net/tls_private.h"
#include "platform/heap.h"
#include "platform/rc.h"
#include "platform/plan.h"
#include "tests/support/net_test.h"
static unsigned port; static struct tls_trust *trust; static const char *host="larder.test"; static int n=1;
static unsigned long cpu(void){struct rusage r;getrusage(RUSAGE_SELF,&r);return (unsigned long)(r.ru_utime.tv_sec*1000000+r.ru_utime.tv_usec+r.ru_stime.tv_sec*1000000+r.ru_stime.tv_usec);}
static void body(void *arg){(void)arg; static struct stream s[8]; char m[TLS_MESSAGE_MAX]; char b[256]; size_t d;
 for(int i=0;i<n;i++){ stream_init(&s[i],net_test_connect(port)); struct heap_usage h0=heap_usage(HEAP_MBEDTLS);
  uint64_t t0=clock_monotonic_us(); unsigned long c0=cpu();
  int rc=tls_connect(&s[i],trust,span_text(host),net_test_in_ms(5000),m); uint64_t t1=clock_monotonic_us(); unsigned long c1=cpu();
  if(rc){printf("rc %d %s\n",rc,m);return;}
  size_t used_hs=heap_usage(HEAP_MBEDTLS).used;
  stream_send_all(&s[i],"GET / HTTP/1.0\r\n\r\n",18,net_test_in_ms(1000));
  stream_recv_wait(&s[i],b,sizeof b,&d,net_test_in_ms(2000));
  struct heap_usage h1=heap_usage(HEAP_MBEDTLS);
  printf("conn %d: %s before %zu after hs +%zu, after data +%zu, high %zu (+%zu), %lu us wall, %lu us cpu\n",i,mbedtls_ssl_get_version(&s[i].tls->ssl),h0.used,used_hs-h0.used,h1.used-h0.used,h1.high,h1.high-h0.used,(unsigned long)(t1-t0),c1-c0);
 }
 for(int i=0;i<n;i++) stream_close(&s[i],false);
 printf("after close %zu; private %zu KiB\n",heap_usage(HEAP_MBEDTLS).used, plan_private_now()/1024);
}
int main(int c,char**v){(void)c; void *st=NULL; net_test_start(&st); char m[TLS_MESSAGE_MAX]; port=(unsigned)atoi(v[1]); n=atoi(v[3]); if(c>4)host=v[4];
 printf("heap at start %zu high %zu; private %zu KiB\n",heap_usage(HEAP_MBEDTLS).used,heap_usage(HEAP_MBEDTLS).high,plan_private_now()/1024);
 if(tls_trust_load(span_text(v[2]),SPAN(""),&trust,m)){printf("%s\n",m);return 1;}
 net_test_run(body,NULL); if(c>5) net_test_run(body,NULL); return 0;}
