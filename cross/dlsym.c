/* Nothing can be looked up by name in a static program, so it need not be tried.
 *
 * musl's dlsym for MIPS expects its own address in a register. Code that is made to lie at a fixed address does not
 * put it there, and musl's assembly does not tell the linker that it should be put there. Linked with --wrap; with a
 * 64-bit time it is called by its other name.
 */
void *__wrap___dlsym_time64(void *handle, const char *name) {
  (void)handle, (void)name;
  return 0;
}
