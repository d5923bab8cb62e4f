/* version.h - the program's version, set by the Makefile. */
#ifndef BACKPROPD_VERSION
#define BACKPROPD_VERSION "0.1.0"
#endif
