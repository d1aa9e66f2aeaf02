/* Faults for the programs of bin/variants (faults.c). */
#ifndef BERTH_TESTS_VARIANTS_FAULTS_H
#define BERTH_TESTS_VARIANTS_FAULTS_H

#include "io/io.h"

/* The backend that serves instead of a chosen one: itself, or, if the environment asks for faults,
 * one that has them. Ends the program if it asks for what is none. */
const struct io_backend *faults_around(const struct io_backend *chosen);

/* The chosen one behind what faults_around gave. */
const struct io_backend *faults_behind(const struct io_backend *given);

#endif
