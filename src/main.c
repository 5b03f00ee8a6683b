#include "migrator.h"

int main(int argc, char **argv) { return mig_run(argc, argv); }
