/* commands.h - the subcommands of the program; each returns the exit status. */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

int command_serve(int argc, char **argv);
int command_train(int argc, char **argv);
int command_predict(int argc, char **argv);
int command_batch(int argc, char **argv);
int command_evaluate(int argc, char **argv);
int command_drift(int argc, char **argv);
int command_calibrate(int argc, char **argv);
int command_explain(int argc, char **argv);
int command_trace(int argc, char **argv);
int command_gradcheck(int argc, char **argv);
int command_doctor(int argc, char **argv);
int command_check(int argc, char **argv);
int command_keys(int argc, char **argv);
int command_alias(int argc, char **argv);
int command_compare(int argc, char **argv);
int command_jobs(int argc, char **argv);
int command_sweep(int argc, char **argv);
int command_audit(int argc, char **argv);
int command_backup(int argc, char **argv);
int command_relay(int argc, char **argv);
int command_restore(int argc, char **argv);
int command_export(int argc, char **argv);
int command_import(int argc, char **argv);
int command_help(int argc, char **argv);
int command_version(int argc, char **argv);
/* not for people */
int command_job(int argc, char **argv);
int command_bfloat16(int argc, char **argv);
int command_confinement(int argc, char **argv);

#endif
