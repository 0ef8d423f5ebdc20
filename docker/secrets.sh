#!/bin/sh
# Draws the passwords of docker/compose.yaml, once, into docker/secrets (never committed).
# The folder keeps others out; the files must be readable to the containers' users.
set -eu
cd "$(dirname "$0")"
if [ -e secrets ]; then
  echo "docker/secrets is there already: nothing was changed" >&2
  exit 1
fi
password() { od -An -N32 -tx1 /dev/urandom | tr -d ' \n'; }
database=$(password)
broker=$(password)
mkdir -m 0700 secrets
umask 0022
printf '%s' "$database" > secrets/postgres_password
printf 'postgresql://countenance:%s@postgres:5432/countenance' "$database" > secrets/database_url
printf 'amqp://countenance:%s@rabbitmq:5672//' "$broker" > secrets/broker_url
printf 'default_user = countenance\ndefault_pass = %s\n' "$broker" > secrets/rabbitmq_user.conf
echo "docker/secrets: drawn; keep a copy with the keys, apart from the database's backups"
