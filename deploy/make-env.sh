#!/bin/sh
# Prints a deploy/.env with fresh secrets: deploy/make-env.sh > deploy/.env
set -eu
umask 077
secret() { openssl rand -hex 24; }
cat <<ENV
SLUICE_PORT=8080
SLUICE_PUBLIC_URL=http://127.0.0.1:8080
SLUICE_ADMIN_EMAIL=admin@example.com
SLUICE_ADMIN_PASSWORD=$(secret)
SLUICE_MASTER_KEY=$(openssl rand -base64 32)
BUDGET_SECRET_KEY=$(openssl rand -base64 32)
OPENAI_API_KEY=
ANTHROPIC_API_KEY=
POSTGRES_PASSWORD=$(secret)
CLICKHOUSE_PASSWORD=$(secret)
ACCOUNTS_DATABASE_PASSWORD=$(secret)
BUDGET_DATABASE_PASSWORD=$(secret)
BILLING_DATABASE_PASSWORD=$(secret)
ANALYTICS_DATABASE_PASSWORD=$(secret)
NATS_GATEWAY_PASSWORD=n$(secret)
NATS_ACCOUNTS_PASSWORD=n$(secret)
NATS_BUDGET_PASSWORD=n$(secret)
NATS_BILLING_PASSWORD=n$(secret)
NATS_ANALYTICS_PASSWORD=n$(secret)
NATS_ADMIN_PASSWORD=n$(secret)
ENV
