/* The base points of curves without their tables.
 *
 * For products of a curve's base point, ring has tables of precomputed points: 150 kB for P-256 on x86-64 and aarch64,
 * 24 kB for X25519 everywhere. Its other function, which multiplies any point and takes equally long whatever the
 * number, gives the same products some 50 microseconds later, once or twice in a handshake. Linked with --wrap; if a
 * new ring changes the names, the tables are back, and all else as it was.
 */
#include <stdint.h>

#define RING(name) ring_core_0_17_14__##name
#define INSTEAD_OF(name) __wrap_ring_core_0_17_14__##name

/* u = 9, the least byte first. */
static const uint8_t x25519_base[32] = {9};

void RING(x25519_scalar_mult_generic_masked)(uint8_t product[32], const uint8_t number[32], const uint8_t point[32]);

void INSTEAD_OF(x25519_public_from_private_generic_masked)(uint8_t product[32], const uint8_t number[32], int adx) {
  (void)adx;
  RING(x25519_scalar_mult_generic_masked)(product, number, x25519_base);
}

#if defined(__x86_64__) || defined(__aarch64__)

/* The result in Jacobian coordinates; all in Montgomery's form, the least of the four words first. */
void RING(p256_point_mul)(uint64_t product[3][4], const uint64_t number[4], const uint64_t x[4], const uint64_t y[4]);

static const uint64_t p256_x[4] = {0x79e730d418a9143c, 0x75ba95fc5fedb601, 0x79fb732b77622510, 0x18905f76a53755c6};
static const uint64_t p256_y[4] = {0xddf25357ce95560a, 0x8b4ab8e4ba19e45c, 0xd2e88688dd21f325, 0x8571ff1825885d85};

void INSTEAD_OF(p256_point_mul_base)(uint64_t product[3][4], const uint64_t number[4]) {
  RING(p256_point_mul)(product, number, p256_x, p256_y);
}

void INSTEAD_OF(p256_point_mul_base_vartime)(uint64_t product[3][4], const uint64_t number[4]) {
  RING(p256_point_mul)(product, number, p256_x, p256_y);
}

#endif
