-- 省级账户: between the registry and a province's enterprises, where the plan of the year and sector says so
-- (rules-2026 C9, N11; docs/adr/0087).
ALTER TABLE account
  DROP CONSTRAINT account_kind_known,
  DROP CONSTRAINT enterprise_has_province,
  ADD CONSTRAINT account_kind_known CHECK (kind IN ('registry', 'enterprise', 'province')),
  ADD CONSTRAINT account_has_province CHECK ((kind <> 'registry') = (province IS NOT NULL));
CREATE UNIQUE INDEX account_of_province ON account (province) WHERE kind = 'province';
INSERT INTO account (member_no, name, kind, province) VALUES
  ('00000010011', '北京市主管部门配额账户', 'province', '11'),
  ('00000010012', '天津市主管部门配额账户', 'province', '12'),
  ('00000010013', '河北省主管部门配额账户', 'province', '13'),
  ('00000010014', '山西省主管部门配额账户', 'province', '14'),
  ('00000010015', '内蒙古自治区主管部门配额账户', 'province', '15'),
  ('00000010021', '辽宁省主管部门配额账户', 'province', '21'),
  ('00000010022', '吉林省主管部门配额账户', 'province', '22'),
  ('00000010023', '黑龙江省主管部门配额账户', 'province', '23'),
  ('00000010031', '上海市主管部门配额账户', 'province', '31'),
  ('00000010032', '江苏省主管部门配额账户', 'province', '32'),
  ('00000010033', '浙江省主管部门配额账户', 'province', '33'),
  ('00000010034', '安徽省主管部门配额账户', 'province', '34'),
  ('00000010035', '福建省主管部门配额账户', 'province', '35'),
  ('00000010036', '江西省主管部门配额账户', 'province', '36'),
  ('00000010037', '山东省主管部门配额账户', 'province', '37'),
  ('00000010041', '河南省主管部门配额账户', 'province', '41'),
  ('00000010042', '湖北省主管部门配额账户', 'province', '42'),
  ('00000010043', '湖南省主管部门配额账户', 'province', '43'),
  ('00000010044', '广东省主管部门配额账户', 'province', '44'),
  ('00000010045', '广西壮族自治区主管部门配额账户', 'province', '45'),
  ('00000010046', '海南省主管部门配额账户', 'province', '46'),
  ('00000010050', '重庆市主管部门配额账户', 'province', '50'),
  ('00000010051', '四川省主管部门配额账户', 'province', '51'),
  ('00000010052', '贵州省主管部门配额账户', 'province', '52'),
  ('00000010053', '云南省主管部门配额账户', 'province', '53'),
  ('00000010054', '西藏自治区主管部门配额账户', 'province', '54'),
  ('00000010061', '陕西省主管部门配额账户', 'province', '61'),
  ('00000010062', '甘肃省主管部门配额账户', 'province', '62'),
  ('00000010063', '青海省主管部门配额账户', 'province', '63'),
  ('00000010064', '宁夏回族自治区主管部门配额账户', 'province', '64'),
  ('00000010065', '新疆维吾尔自治区主管部门配额账户', 'province', '65'),
  ('00000010066', '新疆生产建设兵团主管部门配额账户', 'province', '66');

-- Postings may take tonnes from where the line that they draw on brought them.
ALTER TABLE posting_route ADD COLUMN from_source BOOLEAN DEFAULT false NOT NULL;
