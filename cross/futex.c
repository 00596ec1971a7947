/* The 64-bit time of 32-bit machines, where Rust's standard library misses it.
 *
 * It calls SYS_futex with a `struct timespec` of the size that musl has now, while the kernel's call of that number
 * takes the old one: waits on little-endian machines would lose the fraction of the second, and those on big-endian
 * ones would end at once, to be begun again for ever. Linked with --wrap=syscall into the 32-bit targets. Kernels
 * before 5.1 have only the old call.
 */
#include <errno.h>
#include <linux/futex.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <time.h>

_Static_assert(sizeof(long) == 4 && sizeof(time_t) == 8, "made for 32-bit machines with a 64-bit time");

long __real_syscall(long number, ...);

long __wrap_syscall(long number, ...) {
  long a[6];
  va_list list;
  va_start(list, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(list, long);
  va_end(list);

  const struct timespec *end = (const struct timespec *)a[3];
  int operation = a[1] & FUTEX_CMD_MASK;
  if (number != SYS_futex || (operation != FUTEX_WAIT && operation != FUTEX_WAIT_BITSET) || !end)
    return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);

  int before = errno;
  long answer = __real_syscall(SYS_futex_time64, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (answer != -1 || errno != ENOSYS) return answer;
  errno = before;
  /* Time since the machine started, for which 32 bits will do. */
  int32_t old[2] = {end->tv_sec > INT32_MAX ? INT32_MAX : (int32_t)end->tv_sec, (int32_t)end->tv_nsec};
  return __real_syscall(SYS_futex, a[0], a[1], a[2], (long)old, a[4], a[5]);
}
