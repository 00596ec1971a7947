/* The base point of P-256 without its table.
 *
 * For products of the base point, ring has 150 kB of precomputed points on x86-64 and aarch64: a twentieth of the
 * program. Its other function, which multiplies any point and takes equally long whatever the number, gives the same
 * products some 50 microseconds later, once or twice in a handshake. Linked with --wrap; if a new ring changes the
 * names, the table is back, and all else as it was.
 */
#include <stdint.h>

/* The result in Jacobian coordinates; all in Montgomery's form, the least of the four words first. */
void ring_core_0_17_14__p256_point_mul(uint64_t product[3][4], const uint64_t number[4], const uint64_t x[4],
                                       const uint64_t y[4]);

static const uint64_t base_x[4] = {0x79e730d418a9143c, 0x75ba95fc5fedb601, 0x79fb732b77622510, 0x18905f76a53755c6};
static const uint64_t base_y[4] = {0xddf25357ce95560a, 0x8b4ab8e4ba19e45c, 0xd2e88688dd21f325, 0x8571ff1825885d85};

void __wrap_ring_core_0_17_14__p256_point_mul_base(uint64_t product[3][4], const uint64_t number[4]) {
  ring_core_0_17_14__p256_point_mul(product, number, base_x, base_y);
}

void __wrap_ring_core_0_17_14__p256_point_mul_base_vartime(uint64_t product[3][4], const uint64_t number[4]) {
  ring_core_0_17_14__p256_point_mul(product, number, base_x, base_y);
}
