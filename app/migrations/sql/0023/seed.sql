-- The plans of 2023 to 2026, as rules-2026 N01 has them; what was not read in full says so.  Where only
-- a year is known for a date, it is left open and the note names the year.
INSERT INTO plan (
  year, sector, starts_on, document_no, documented_on, method, pre_allocation_share, share_cap, rounding,
  pre_allocate_by, approve_by, issue_by, surrender_by, offset_by, vintages, offset_percent,
  offset_registered_from, exemptions, carry_over_base, carry_over_factor, source, confidence, is_draft,
  note, approved_at)
SELECT w.year, s.sector, w.starts_on, w.document_no, w.documented_on, w.method, w.pre_share, w.cap,
       CASE s.sector WHEN 'steel' THEN 'entity' ELSE 'unit' END, w.pre_by, w.approve_by, w.issue_by,
       (w.surrender_by + time '23:59:59') AT TIME ZONE 'Asia/Shanghai', w.offset_by, w.vintages, 5, w.registered_from, w.exemptions, w.base, w.factor, w.source,
       w.confidence, w.is_draft, w.note, w.documented_on::timestamp AT TIME ZONE 'Asia/Shanghai'
  FROM (VALUES
    (1, 2023::smallint, ARRAY['power'], date '2024-10-15', '国环规气候〔2024〕1号', date '2024-10-15',
     '基准法；按上年度核查排放量预分配', 70::numeric, NULL::numeric, NULL::date, NULL::date, NULL::date,
     date '2024-12-31', date '2024-12-15', ARRAY[2019, 2020, 2021, 2022, 2023]::smallint[], NULL::date,
     '燃气机组初始核定量低于核查量的，按核查量核定', NULL::bigint, NULL::numeric,
     '2023、2024年度发电行业配额总量和分配方案（国环规气候〔2024〕1号）', 'certain', false,
     '核定、发放在2024年内；2017年3月14日前备案的CCER最后一次可用；抵销申请截止2024-12-15'),
    (2, 2024, ARRAY['power'], '2024-10-15', '国环规气候〔2024〕1号', '2024-10-15', '基准法', 70, NULL,
     '2025-04-20', '2025-07-31', '2025-08-20', '2025-12-31', NULL, ARRAY[2019, 2020, 2021, 2022, 2023, 2024],
     '2024-01-22', '燃气机组初始核定量低于核查量的，按核查量核定', 10000, 1.5,
     '国环规气候〔2024〕1号；环办气候函〔2025〕140号', 'certain', false, ''),
    (3, 2024, ARRAY['steel', 'cement', 'aluminium'], '2025-11-16', '国环规气候〔2025〕2号', '2025-11-16',
     '核定量等于核查排放量，不预分配', NULL, NULL, NULL, '2025-09-30', '2025-10-20', '2025-12-31', NULL,
     ARRAY[2019, 2020, 2021, 2022, 2023, 2024], '2024-01-22', '关停和新建企业不纳入分配', 100000, 1.5,
     '国环规气候〔2025〕2号；环办气候函〔2025〕140号', 'certain', false,
     '结转的基数为可能值，倍数按发电行业推定'),
    (4, 2025, ARRAY['steel', 'cement', 'aluminium'], '2025-11-16', '国环规气候〔2025〕2号', '2025-11-16',
     '强度系数法', 70, NULL, '2026-04-10', '2026-09-20', '2026-09-30', '2026-12-31', NULL, ARRAY[2025, 2026],
     '2024-01-22', '水泥电石渣比例超过15%的生产线：核定量等于核查排放量；关停和新建企业不纳入分配', NULL, NULL,
     '国环规气候〔2025〕2号；环办气候函〔2026〕32号', 'certain', false, '结转至以后年度按国家规定'),
    (5, 2025, ARRAY['power'], '2026-07-27', '征求意见稿（2026-07-27）', '2026-07-27', '基准法', 50, 50,
     '2026-06-30', '2026-09-20', '2026-09-30', '2026-12-31', NULL, ARRAY[2025, 2026], '2024-01-22',
     '关停、新投产和年排放不足26000吨的单位：核定量等于核查排放量', NULL, NULL,
     '2025、2026年度方案征求意见稿；环办气候函〔2026〕32号', 'likely', true,
     '正式方案2026-09-03公布，仅核实第四条、第五条（一）（三）；结转至以后年度按国家规定'),
    (6, 2026, ARRAY['power', 'steel', 'cement', 'aluminium'], '2026-07-27', '征求意见稿（2026-07-27）',
     '2026-07-27', '发电：基准法；钢铁、水泥、铝冶炼：强度系数法', 50, 50, NULL, NULL, NULL, '2027-12-31', NULL,
     ARRAY[2025, 2026], '2024-01-22',
     '关停、新投产和年排放不足26000吨的单位，电石渣比例超过30%的水泥生产线：核定量等于核查排放量', NULL, NULL,
     '2025、2026年度方案征求意见稿', 'likely', true,
     '核定、发放在2027年内；其他年份的配额按国家规定')
  ) AS w (place, year, sectors, starts_on, document_no, documented_on, method, pre_share, cap, pre_by,
          approve_by, issue_by, surrender_by, offset_by, vintages, registered_from, exemptions, base,
          factor, source, confidence, is_draft, note)
 CROSS JOIN LATERAL unnest(w.sectors) WITH ORDINALITY AS s (sector, place)
 ORDER BY w.place, s.place;

-- From the plan of 2026-09-03 on the vintages of 2019 to 2026 serve the years up to 2024 (N50).
INSERT INTO plan (
  year, sector, replaces_id, starts_on, document_no, documented_on, method, pre_allocation_share,
  share_cap, rounding, pre_allocate_by, approve_by, issue_by, surrender_by, offset_by, vintages,
  offset_percent, offset_registered_from, exemptions, carry_over_base, carry_over_factor, source,
  confidence, is_draft, note, approved_at)
SELECT year, sector, id, '2026-09-03', '2025、2026年度方案（2026-09-03）', '2026-09-03', method,
       pre_allocation_share, share_cap, rounding, pre_allocate_by, approve_by, issue_by, surrender_by,
       offset_by, ARRAY[2019, 2020, 2021, 2022, 2023, 2024, 2025, 2026], offset_percent,
       offset_registered_from, exemptions, carry_over_base, carry_over_factor,
       source || '；2025、2026年度方案第五条（一）', confidence, is_draft, note,
       '2026-09-03 00:00:00+08'
  FROM plan WHERE year <= 2024 ORDER BY id;
