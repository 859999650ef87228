-- 建立数据库与四个数据库角色；由数据库超级用户执行一次：
--   psql -U postgres -f deploy/create-database.sql
-- 口令随后用 \password 逐个设定，既不写入本文件，也不进入服务器日志。

-- 所有者：只用于 flask init（迁移、授权）。应用运行时不得使用它。
CREATE ROLE registry_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- 应用：权限由 flask init 按 app/migrations/sql/privileges.sql 授予；不得是 registry_owner 的成员。
CREATE ROLE registry_app LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- 第二账：只读取它核对的各表，只追加封存的合计；权限同样由 flask init 授予。
CREATE ROLE registry_audit LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
-- 备份：只做物理备份（pg_basebackup、pg_receivewal），看不到任何表。
CREATE ROLE registry_backup LOGIN REPLICATION NOSUPERUSER NOCREATEDB NOCREATEROLE;

-- 与测试环境相同的排序规则（按码位）。PostgreSQL 15、16 没有 builtin，请改为：LOCALE 'C.UTF-8'。
CREATE DATABASE registry OWNER registry_owner TEMPLATE template0 ENCODING 'UTF8'
  LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C';

REVOKE ALL ON DATABASE registry FROM PUBLIC;
GRANT CONNECT ON DATABASE registry TO registry_app, registry_audit;

\connect registry
REVOKE CREATE ON SCHEMA public FROM PUBLIC;

\password registry_owner
\password registry_app
\password registry_audit
\password registry_backup
