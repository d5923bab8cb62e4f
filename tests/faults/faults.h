/* faults.h - the suites of this folder. */
#ifndef TESTS_FAULTS_FAULTS_H
#define TESTS_FAULTS_FAULTS_H

#include <check.h>
#include <stdbool.h>

Suite *suite_calls(void);
Suite *suite_power(void);
Suite *suite_space(void);
/* Whether every fault is to be tried. */
bool faults_all(void);

#endif
