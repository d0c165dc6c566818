"""Every text of the pages, in English and in Chinese."""

from __future__ import annotations

from collections.abc import Mapping

from vibro.errors import ConfigError

LANGUAGES = ("en", "zh")
Texts = Mapping[str, str]

# key: (English, Chinese)
_TEXTS: Mapping[str, tuple[str, str]] = {
    "title": ("Vibration report", "振动分析报告"),
    "benchmark": ("Benchmark", "基准测试"),
    "as_table": ("as a table", "以表格显示"),
    "records": ("records", "条记录"),
    "sensors": ("sensors", "个传感器"),
    "machines": ("machines", "台设备"),
    "samples": ("samples", "点"),
    "channels": ("channels", "通道"),
    "unit_unknown": ("unit unknown", "单位未知"),
    "ensemble": ("ensemble", "检测集成"),
    "fs_estimated": ("estimated", "估计值"),
    "normal": ("normal", "正常"),
    "attention": ("attention", "关注"),
    "alarm": ("alarm", "报警"),
    "invalid": ("invalid", "无效"),
    "indeterminate": ("indeterminate", "未定"),
    "quarantined": ("quarantined", "隔离"),
    "warning": ("warning", "警告"),
    "say_none": (
        "No record reaches the attention or the alarm level.",
        "没有记录达到关注或报警级别。",
    ),
    "say_some": (
        "{alarm} of {n} records reach the alarm level, {attention} more deserve attention.",
        "{n} 条记录中有 {alarm} 条达到报警级别，另有 {attention} 条值得关注。",
    ),
    "say_machines": (
        "Of {n} machines {alarm} in alarm and {attention} in attention.",
        "{n} 台设备中 {alarm} 台报警，{attention} 台需关注。",
    ),
    "say_machine_since": ("{machine}: {level} since {since}; {why}.", "{machine}：自 {since} 起{level}；{why}。"),
    "say_machine": ("{machine}: {level}; {why}.", "{machine}：{level}；{why}。"),
    "why_sustained": (
        "kept up; {bad} of {total} sensors keep it up by themselves",
        "持续，{total} 个传感器中 {bad} 个自身亦持续报警",
    ),
    "why_kept_up": ("kept up", "持续"),
    "why_in_turn": ("kept up by its sensors in turn, by none alone", "由各传感器轮流持续，无单个传感器持续"),
    "why_above_attention": ("kept up above attention, below alarm", "持续高于关注界限，低于报警界限"),
    "why_single_sensor": (
        "{bad} of {total} sensors keep up an alarm, without a second one at the same instants",
        "{total} 个传感器中 {bad} 个持续报警，但同一时刻无第二个传感器",
    ),
    "why_isolated": (
        "records in alarm: {n}, too seldom for an alarm of the machine",
        "{n} 条记录报警，但不够频繁，不构成设备报警",
    ),
    "say_invalid": (
        "{n} records cannot be judged: their data are invalid or too few detectors gave a score.",
        "{n} 条记录无法判定：数据无效，或给出分数的检测器太少。",
    ),
    "not_complete": ("This run is not complete: {status}.", "本次运行未完成：{status}。"),
    "warnings": ("Warnings", "警告"),
    "failures": ("Failures", "失败"),
    "utc": ("All times are UTC.", "所有时间均为 UTC。"),
    "h_machines": ("Machines", "设备"),
    "p_machines": (
        "One verdict per machine: in alarm where its two worst sensors together stay above the alarm cut at 3 of 5 consecutive "
        "instants, in attention where they stay above the attention cut at all 5, or where single records or sensors are in "
        "alarm. Without times a sensor counts by the score that one in five of its records reach.",
        "每台设备一个结论：最差的两个传感器合计在连续 5 个时刻中有 3 个高于报警界限为报警；5 个时刻均高于关注界限，或有单条记录、"
        "单个传感器报警，为关注。无时间时，以传感器五分之一的记录所达到的分数计。",
    ),
    "machine": ("machine", "设备"),
    "level": ("level", "级别"),
    "since": ("since", "起始时间"),
    "why": ("why", "原因"),
    "growth": ("rise of the score a day", "分数每日上升"),
    "records_in_alarm": ("records in alarm", "报警记录"),
    "sensors_in_alarm": ("sensors that keep up an alarm", "持续报警的传感器"),
    "score": ("score", "分数"),
    "persistent": ("with neighbours in time", "含相邻时刻"),
    "confidence": ("confidence", "置信度"),
    "h_transients": ("Transients", "瞬态事件"),
    "p_transients": (
        "Tap changes, starts and the like: at once on most sensors of a machine, impulsive, gone at the next instant. Their "
        "records deserve attention but raise no alarm.",
        "分接开关动作、启动等：同一时刻出现在设备的多数传感器上，呈冲击性，下一时刻即消失。相应记录列为关注，不报警。",
    ),
    "reason_transient": ("transient", "瞬态"),
    "reason_unseen_state": ("unseen operating state", "未见过的工况"),
    "reason_single_sensor": ("deviates alone", "单个传感器异常"),
    "reason_data": ("bad data", "数据不良"),
    "reason_benign": ("labelled benign", "已标为无害"),
    "h_todo": ("Look at this first", "请先处理"),
    "more_such": ("and {n} more like this", "另有 {n} 条同类"),
    "h_remarks": ("Remarks on this verdict", "关于本结论的说明"),
    "group_trust": ("How far the verdict can be trusted", "结论的可信程度"),
    "group_know": ("How it came about", "如何得出"),
    "remarks_below": ("{n} more on the verdict below.", "另有 {n} 条说明见下文。"),
    "h_cases": ("Alarm cases", "报警事件"),
    "p_cases": (
        "Records in alarm of one machine that belong together, the most urgent first. Orange: the highest record of the case. "
        "Blue: median and 5–95 % band of normal records of the same sensor.",
        "同一设备上相互关联的报警记录归为一个事件，最紧急者在前。橙色：该事件中分数最高的记录。"
        "蓝色：同一传感器正常记录的中位数与 5–95 % 范围。",
    ),
    "no_cases": ("No record is in alarm.", "没有记录报警。"),
    "cases_left": (
        "{n} more cases stand in cases.csv; vibro explain RUN RECORD shows any record.",
        "另有 {n} 个事件见 cases.csv；vibro explain RUN RECORD 可查看任一记录。",
    ),
    "cases_fold": ("{n} more cases", "另有 {n} 个事件"),
    "case": ("case", "事件"),
    "case_open": ("still in alarm at the end of the data", "数据结束时仍在报警"),
    "until": ("until", "结束时间"),
    "highest": ("highest record", "分数最高的记录"),
    "case_records": ("records in alarm", "报警记录"),
    "case_instants": ("instants", "时刻"),
    "of": ("{n} of {all}", "{all} 中的 {n}"),
    "and_more": ("and {n} more", "等，另 {n} 个"),
    "no_evidence": (
        "The samples could not be read again, so waveform and spectrum are not shown.",
        "样本无法重新读取，故未显示波形与频谱。",
    ),
    "no_baseline": (
        "There are too few normal records to compare with.",
        "可供比较的正常记录太少。",
    ),
    "h_bars": (
        "Detectors: score in multiples of their own cut (line); pale: weight 0",
        "检测器：分数为自身界限（竖线）的倍数；浅色：权重为 0",
    ),
    "h_signal": ("The signal", "信号"),
    "channel": ("channel", "通道"),
    "w_grows_day": (
        "the level rises by {db} dB a day ({n} records from {since} on)",
        "电平每日上升 {db} dB（自 {since} 起的 {n} 条记录）",
    ),
    "w_grows_hour": (
        "the level rises by {db} dB an hour ({n} records from {since} on)",
        "电平每小时上升 {db} dB（自 {since} 起的 {n} 条记录）",
    ),
    "h_image": (
        "Time and frequency: dB over (orange) and under (blue) the normal records",
        "时频图：高于（橙）与低于（蓝）正常记录的 dB",
    ),
    "h_image_own": (
        "Time and frequency: dB over (orange) and under (blue) the record's own mean",
        "时频图：高于（橙）与低于（蓝）本记录均值的 dB",
    ),
    "h_spectrum_short": ("Spectrum", "频谱"),
    "full_explanation": ("All indicators, source and command", "全部指标、来源与命令"),
    "need_script": (
        "The charts are drawn by the scripts in this page; nothing is fetched. Allow scripts for this file to see them.",
        "图表由本页内的脚本绘制，不加载任何外部内容。请允许本文件运行脚本。",
    ),
    "chart_help": (
        "Drag to zoom, double-click to reset; with the keyboard plus, minus, arrows and 0.",
        "拖动放大，双击复原；键盘可用加号、减号、方向键与 0。",
    ),
    "reset": ("whole range", "全部范围"),
    "filter": ("Filter", "筛选"),
    "all": ("all", "全部"),
    "find_sensor": ("sensor name", "传感器名称"),
    "attention_up": ("attention and alarm", "关注与报警"),
    "alarm_only": ("alarm only", "仅报警"),
    "linked": ("one time axis", "统一时间轴"),
    "same_scale": ("one score scale", "统一分数刻度"),
    "covariates": ("covariates", "工况量"),
    "show_more": ("show more sensors", "显示更多传感器"),
    "nothing_left": ("Nothing matches the filter.", "没有符合筛选条件的内容。"),
    "h_when": ("When and where", "何时何处"),
    "p_when": (
        "The highest score of each sensor in each stretch of time; stronger blue is nearer to the attention cut, ◆ attention, "
        "▲ alarm, ✕ invalid. A click on a cell shows the trend of its sensor.",
        "各传感器在各时段的最高分数；蓝色越重越接近关注界限，◆ 关注，▲ 报警，✕ 无效。点击方格可看该传感器的趋势。",
    ),
    "p_when_untimed": (
        "The highest score of each sensor along the order of the records, as no times were given; stronger blue is nearer to "
        "the attention cut, ◆ attention, ▲ alarm, ✕ invalid.",
        "数据未给出时间，按记录顺序显示各传感器的最高分数；蓝色越重越接近关注界限，◆ 关注，▲ 报警，✕ 无效。",
    ),
    "h_trend": ("Trend", "趋势"),
    "p_trend": (
        "Fused score of each sensor, the worst first; dashed lines are the cuts, grey is the time that was fitted on, orange "
        "the cases of its machine.",
        "各传感器的融合分数，最差者在前；虚线为判定界限，灰色为参与拟合的时段，橙色为所属设备的报警事件。",
    ),
    "h_scores": ("Scores and cuts", "分数与界限"),
    "p_scores": (
        "All judged records by fused score; the count axis is logarithmic so that single records stay visible.",
        "所有已判定记录的融合分数分布；计数轴为对数刻度，以便看清个别记录。",
    ),
    "axis_score": ("fused score, higher = worse", "融合分数（越高越异常）"),
    "axis_records": ("records", "记录数"),
    "axis_order": ("order of records", "记录顺序"),
    "cut": ("cut", "界限"),
    "cuts": ("cuts", "界限"),
    "more_remarks": (
        "{n} more on how it came about, in report.html and summary.json",
        "另有 {n} 条关于如何得出的说明见 report.html 与 summary.json",
    ),
    "budget": ("budget", "预算"),
    "above_cut": ("records above", "超过的记录"),
    "p_budget": (
        "The budget is the wished share of records above the cut when all is normal; the second figure is the share found "
        "here.",
        "预算是一切正常时期望超过界限的记录比例；后一个数字是此处实际比例。",
    ),
    "method": ("method", "方法"),
    "chosen": ("chosen", "选择"),
    "fallback": ("fallback", "退路"),
    "interval": ("interval of the alarm cut", "报警界限的区间"),
    "h_top": ("Highest records", "最高分记录"),
    "p_top": (
        "A cell per detector: orange above its own cut, darker blue nearer to it, pale without a weight; point at it for its z. "
        "vibro explain RUN RECORD shows one record in detail.",
        "每格为一个检测器：橙色表示超过自身界限，蓝色越深越接近界限，浅色表示权重为 0；指向可见其 z。"
        "vibro explain RUN RECORD 可查看单条记录。",
    ),
    "detectors_over": ("detectors over their cut", "超过自身界限的检测器"),
    "record": ("record", "记录"),
    "sensor": ("sensor", "传感器"),
    "time": ("time", "时间"),
    "agreement": ("agreement", "一致度"),
    "h_sensors": ("Sensors", "传感器"),
    "p_sensors": (
        "Calibration: whether a sensor is compared with its own baseline or, having too few records, with that of its group "
        "or of all sensors.",
        "校准栏说明该传感器按自身基线判定，还是因记录太少按同组或全体基线判定。",
    ),
    "calibration": ("calibration", "校准"),
    "own": ("own", "自身"),
    "pooled": ("pooled", "全体"),
    "group": ("group", "同组"),
    "course": ("course", "走势"),
    "h_detectors": ("Detectors", "检测器"),
    "p_detectors": (
        "Sensitivity check: records with an injected disturbance must score above undisturbed ones, or the detector is left "
        "out; the margin stands in brackets.",
        "灵敏度检查：注入扰动的记录得分须高于未扰动的记录，否则该检测器被排除；括号内为裕度。",
    ),
    "detector": ("detector", "检测器"),
    "view": ("view", "视图"),
    "status": ("status", "状态"),
    "weight": ("weight", "权重"),
    "own_cut": ("own cut", "自身界限"),
    "sensitivity": ("sensitivity check", "灵敏度检查"),
    "passed": ("passed", "通过"),
    "not_passed": ("not passed", "未通过"),
    "health": ("health", "健康"),
    "seconds": ("fit + score", "拟合 + 打分"),
    "ok": ("ok", "正常"),
    "excluded": ("excluded", "排除"),
    "failed": ("failed", "失败"),
    "absent": ("absent", "缺失"),
    "complete": ("complete", "完成"),
    "interrupted": ("interrupted", "中断"),
    "fuser": ("fuser", "融合方法"),
    "used_of": ("{used} of {planned} detectors used", "使用 {planned} 个检测器中的 {used} 个"),
    "h_alike": ("Rank correlation of the detectors", "检测器排序的相关性"),
    "p_alike": (
        "Rank correlation on reference records. Near 1: two detectors count the same evidence twice; below 0 (hatched): one "
        "ranks against the other.",
        "参考记录上的秩相关。接近 1：两个检测器重复计入同一证据；低于 0（斜线）：排序相反。",
    ),
    "alone": ("deviates alone: look at the sensor first", "单独偏离：先检查传感器"),
    "detected": ("faults detected", "检出"),
    "adds": ("adds", "增益"),
    "adds_nothing": (
        "add nothing to the other members, which catch as many injected faults without each of them: {names} ({n} of {members})",
        "{members} 个成员中有 {n} 个各自无增益（去掉任一个，其余成员检出同样多的注入故障）：{names}",
    ),
    "p_adds": (
        "Adds: share of the injected faults that raise an alarm only with this detector, less those only without it.",
        "增益：仅在有该检测器时报警的注入故障比例，减去仅在没有它时报警的比例。",
    ),
    "h_injection": ("Fault-injection trial", "故障注入试验"),
    "p_injection": (
        "Faults were injected into {n} records that are presumed normal. Detectors that had not been fitted on them scored "
        "them, where there were enough records for folds, and the cuts of this run decided; no label was used. Severity is "
        "the amplitude added as a share of the record's RMS, the gain in level, the share of samples clipped or lost, or "
        "the depth of modulation.",
        "向 {n} 条推定正常的记录注入故障；记录足够分折时由未学习过这些记录的检测器打分，再按本次界限判断，未使用任何标签。"
        "严重度指所加成分占记录有效值的比例、电平增益、被削波或丢失的样本比例，或调制深度。",
    ),
    "h_caught": ("Share that raises an alarm, by severity", "按严重度的报警比例"),
    "h_smallest": ("Smallest severity detected on each sensor", "各传感器可检出的最小严重度"),
    "p_smallest": (
        "From this severity on, half of the sensor's records or more raise an alarm; a dash: not even at 80 %.",
        "自该严重度起，该传感器至少一半记录会报警；横线：80 % 仍不报警。",
    ),
    "smallest": ("smallest", "最小"),
    "k_level": ("level", "电平"),
    "k_harmonics": ("harmonics", "谐波"),
    "k_band_noise": ("band noise", "带内噪声"),
    "k_impacts": ("impacts", "冲击"),
    "k_modulation": ("modulation", "调制"),
    "k_clipping": ("clipping", "削波"),
    "k_dropout": ("dropout", "丢失"),
    "read_confidence": (
        "Confidence: share of resampled references whose cuts would leave the record at its level; low beside a cut.",
        "置信度：重抽样参考集得到的界限中，使该记录级别不变的比例；靠近界限时较低。",
    ),
    "h_labels": ("Against the labels", "与标签比较"),
    "p_labels": (
        "{normal} normal and {anomalous} anomalous labels matched. They were used for these figures only.",
        "匹配到 {normal} 条正常、{anomalous} 条异常标签，仅用于以下指标。",
    ),
    "p_labels_learned": (
        "{normal} normal and {anomalous} anomalous labels matched. This run also learned from labels: see the manifest.",
        "匹配到 {normal} 条正常、{anomalous} 条异常标签。本次运行也从标签中学习，见清单文件。",
    ),
    "roc_auc": ("ROC AUC", "ROC AUC"),
    "average_precision": ("average precision", "平均精度"),
    "precision_at_k": ("precision at k", "前 k 精度"),
    "recall_at_budget": ("recall at budget", "预算下召回率"),
    "false_alarm_rate": ("false alarms", "误报率"),
    "f1": ("F1", "F1"),
    "prior": ("share of anomalous labels", "异常标签占比"),
    "below_half": (
        "below 0.5: ranks worse than chance here; shown as it is, never flipped",
        "低于 0.5：此处排序不如随机；如实显示，不作翻转",
    ),
    "fused": ("fused", "融合"),
    "baselines": ("baselines", "基线"),
    "p_auc": (
        "● ROC AUC (chance 0.5)   ◆ average precision (chance {prior})",
        "● ROC AUC（随机 0.5）   ◆ 平均精度（随机 {prior}）",
    ),
    "raised": ("Alarms as raised", "实际发出的报警"),
    "raised_train": ("Alarms as raised, rows fitted on", "实际发出的报警：参与拟合的记录"),
    "raised_test": ("Alarms as raised, rows left out of the fit", "实际发出的报警：未参与拟合的记录"),
    "p_raised": (
        "Every labelled record by the level it got. Recall at budget, above, is what the ranking could reach with the budget's "
        "share of false alarms, wherever that cut lies.",
        "按所得级别统计全部有标签的记录。上方的预算下召回率是排序在该误报率下所能达到的值，与实际界限无关。",
    ),
    "precision": ("precision", "精确率"),
    "recall": ("recall", "召回率"),
    "recall_as_raised": ("recall of the alarms", "报警召回率"),
    "anomalous_labels": ("labelled anomalous", "标签异常"),
    "normal_labels": ("labelled normal", "标签正常"),
    "h_classes": ("By fault type", "按故障类型"),
    "fault_type": ("fault type", "故障类型"),
    "n": ("n", "数量"),
    "h_data": ("Data and quarantine", "数据与隔离"),
    "p_data": (
        "read {read} = accepted {accepted} + quarantined {quarantined}",
        "读入 {read} = 接受 {accepted} + 隔离 {quarantined}",
    ),
    "source": ("source", "来源"),
    "read": ("read", "读入"),
    "accepted": ("accepted", "接受"),
    "code": ("code", "代码"),
    "reason": ("reason", "原因"),
    "disposition": ("disposition", "处置"),
    "line": ("line", "行号"),
    "detail": ("detail", "详情"),
    "excerpt": ("excerpt", "摘录"),
    "first_findings": (
        "The first {n} of {all} findings; quarantine.csv holds all.",
        "{all} 条中的前 {n} 条；全部见 quarantine.csv。",
    ),
    "most_urgent": ("The {n} most urgent of {all} sensors.", "{all} 个传感器中最紧急的 {n} 个。"),
    "first_rows": ("The first {n} of {all}.", "{all} 项中的前 {n} 项。"),
    "h_how": ("How it was made", "生成方式"),
    "command": ("command", "命令"),
    "seed": ("seed", "种子"),
    "device": ("device", "计算设备"),
    "started": ("started", "开始"),
    "finished": ("finished", "结束"),
    "versions": ("versions", "版本"),
    "computer": ("computer", "计算机"),
    "fingerprint": ("fingerprint of the records", "记录指纹"),
    "memory": ("peak memory", "内存峰值"),
    "timings": ("seconds", "用时（秒）"),
    "rows": ("rows", "行"),
    "decisions": ("decisions", "判定记录"),
    "h_read": ("How to read this", "阅读说明"),
    "read_score": (
        "Score: the calibrated scores of the detectors fused into one number. Higher is worse. It depends on the frozen model "
        "only, never on the other records scored with it.",
        "分数：各检测器校准分数融合成的一个数，越高越异常。它只取决于冻结的模型，与同批其他记录无关。",
    ),
    "read_p": (
        "p: (1 + reference records with a score at least as high) / (1 + reference records), so it cannot be smaller than "
        "one over their number plus one.",
        "p：分数不低于该记录的参考记录所占比例（分子分母各加一），其最小值受参考记录数限制。",
    ),
    "read_level": (
        "Level: normal, attention or alarm by the two cuts; invalid = bad data (a dead or clipped sensor); indeterminate = "
        "too few detectors gave a score.",
        "级别：按两条界限分为正常、关注、报警；无效＝数据不良（传感器失效或削波）；未定＝给出分数的检测器太少。",
    ),
    "read_agreement": (
        "Agreement: share of the detectors' weight that, each by its own cut, is on the same side as the fused score is of the "
        "alarm cut. The fused score adds up how far each detector goes: few that are far above their cuts can raise an alarm, "
        "and many that are a little above theirs need not.",
        "一致度：按各自界限判断，与融合分数（相对报警界限）在同一侧的检测器所占权重。融合分数累计各检测器超出的程度：少数远超"
        "自身界限即可报警，多数略超则未必。",
    ),
    "h_confound": ("Does the score identify the machine rather than the fault?", "分数是否在辨认对象而非故障？"),
    "p_confound": (
        "AUC of telling two machines, sensors or files apart by the scores of their normal records: near 0.5 is good. The "
        "plain level is the RMS alone.",
        "仅凭正常记录的分数区分两台设备、两个传感器或两个文件的 AUC：接近 0.5 为好。单纯电平仅用 RMS。",
    ),
    "machine_from_score_auc": ("machine from score (AUC)", "由分数辨设备（AUC）"),
    "sensor_from_score_auc": ("sensor from score (AUC)", "由分数辨传感器（AUC）"),
    "source_from_score_auc": ("file from score (AUC)", "由分数辨文件（AUC）"),
    "level_auc": ("plain level against the labels (AUC)", "单纯电平对标签（AUC）"),
    "level_rank_correlation": ("rank correlation of score and level", "分数与电平的秩相关"),
    "explain_title": ("Why this record?", "为何是这条记录？"),
    "looks_like": ("looks like", "疑似"),
    "grade_strong": ("strong", "强"),
    "grade_weak": ("weak", "弱"),
    "grade_none": ("none", "无"),
    "h_hypotheses": ("What it looks like", "疑似故障"),
    "p_hypotheses": (
        "Hypotheses with the evidence for and against each; a rule names what is measured, a person decides.",
        "各假设及其支持与反对的证据；规则只陈述测得的事实，由人判断。",
    ),
    "against": ("against", "反对"),
    "looks_like_nothing": ("The record looks like none of the known faults.", "该记录不像任何已知故障。"),
    "no_evidence_for": ("no evidence for", "无证据支持"),
    "h_envelope": ("Envelope spectrum", "包络谱"),
    "p_envelope": (
        "Envelope of {low} to {high} Hz, in dB over the noise around each line; marks: lines of the hypotheses.",
        "{low} 至 {high} Hz 频带的包络，以各谱线周围噪声为参考（dB）；标记为假设所述谱线。",
    ),
    "h_unusual": ("What is unusual", "有何异常"),
    "p_unusual": (
        "Indicators of this record against {n} normal records of the same sensor; z counts robust standard deviations.",
        "本记录的指标与同一传感器 {n} 条正常记录比较；z 为稳健标准差的倍数。",
    ),
    "p_unusual_pooled": (
        "Indicators of this record against {n} normal records of all sensors, as this sensor has too few; z counts robust "
        "standard deviations.",
        "该传感器正常记录太少，故与所有传感器的 {n} 条正常记录比较；z 为稳健标准差的倍数。",
    ),
    "nothing_unusual": (
        "No single indicator stands out: the detectors see a pattern that level, shape and octave bands do not show.",
        "没有单项指标突出：检测器发现了电平、波形与倍频程无法显示的模式。",
    ),
    "no_signal": ("The signal could not be compared; see the notes.", "无法比较信号，见说明。"),
    "w_level": ("{name}: {db} dB against the baseline (z {z})", "{name}：相对基线 {db} dB（z {z}）"),
    "w_value": ("{name}: {value} against {median} (z {z})", "{name}：{value}，基线 {median}（z {z}）"),
    "i_rms_db": ("RMS level", "有效值电平"),
    "i_peak_db": ("peak level", "峰值电平"),
    "i_crest_db": ("crest factor", "峰值因数"),
    "i_kurtosis": ("kurtosis", "峭度"),
    "i_skewness": ("skewness", "偏度"),
    "i_offset": ("offset in multiples of the RMS", "直流偏置（有效值的倍数）"),
    "i_centroid_hz": ("spectral centroid in Hz", "频谱重心（Hz）"),
    "i_band": ("level {low}–{high} Hz", "{low}–{high} Hz 电平"),
    "indicator": ("indicator", "指标"),
    "value": ("value", "数值"),
    "baseline": ("baseline", "基线"),
    "exceeds": ("above its own cut", "超过自身界限"),
    "yes": ("yes", "是"),
    "no": ("no", "否"),
    "share_of": ("weight × z", "权重 × z"),
    "p_explain_detectors": (
        "What each detector adds to the weighted mean of those that gave a score, and whether it exceeds its own cut.",
        "各检测器对加权平均（仅计给出分数者）的贡献，以及是否超过其自身界限。",
    ),
    "h_waveform": ("Waveform", "波形"),
    "h_spectrum": ("Spectrum against the baseline", "频谱与基线"),
    "p_spectrum": (
        "Orange: this record. Blue: median and 5–95 % band of the baseline. Fine vertical lines: multiples of the mains.",
        "橙色：本记录。蓝色：基线的中位数与 5–95 % 范围。细竖线：工频倍频。",
    ),
    "p_lines": (
        "Bars: this record in dB over the baseline's median. Pale: where 90 % of the baseline lies; orange bars lie outside.",
        "柱：本记录相对基线中位数的 dB 值。浅色：基线的 90 % 范围；橙色柱在范围之外。",
    ),
    "h_lines": ("Multiples of the mains over the baseline", "工频倍频相对基线"),
    "h_risen": ("Where the spectrum rose most", "频谱上升最多处"),
    "h_neighbours": ("Before and after", "前后记录"),
    "h_occlusion": ("Which frequencies make the score", "哪些频率决定了评分"),
    "p_occlusion": (
        "Score {score}; {rest} if all were as in the {n} most similar normal records of the sensor. Each row: one band so,"
        " the rest as it is; how much score and z of each detector fall.",
        "评分 {score}；若全部频带与该传感器最相似的 {n} 条正常记录一致，则为 {rest}。"
        "每行只替换一个频带：评分及各检测器 z 的降幅。",
    ),
    "fall": ("fall", "降幅"),
    "h_nearest": ("Nearest normal records and labelled faults", "最相近的正常记录与已标注故障"),
    "distance": ("distance", "距离"),
    "labelled_fault": ("fault", "故障"),
    "quality": ("quality", "质量"),
    "notes": ("Notes", "说明"),
    "diff_title": ("Two runs compared", "两次运行的比较"),
    "diff_changed": ("{k} of {n} verdicts changed; cause: {causes}.", "{n} 个结论中有 {k} 个改变；原因：{causes}。"),
    "diff_equal": ("All {n} verdicts are equal, and so are the scores.", "全部 {n} 个结论相同，分数也相同。"),
    "diff_equal_levels": (
        "All {n} verdicts are equal; the scores differ by {most} at most.",
        "全部 {n} 个结论相同；分数最多相差 {most}。",
    ),
    "diff_nothing": (
        "The runs have no record in common: there is nothing to compare.",
        "两次运行没有共同的记录：无从比较。",
    ),
    "diff_only_a": ("Records only in A: {n}", "仅在 A 中的记录：{n} 条"),
    "diff_only_b": ("Records only in B: {n}", "仅在 B 中的记录：{n} 条"),
    "diff_other_samples": ("Records of both with other samples: {n}", "两者共有但样本不同的记录：{n} 条"),
    "h_diff_parts": ("What was set differently", "哪些设置不同"),
    "diff_no_parts": ("Nothing was set differently.", "没有不同的设置。"),
    "h_diff_scores": ("Scores of A and of B", "A 与 B 的分数"),
    "p_diff_scores": (
        "Blue: records with the same verdict, darker where there are more. Dashed: attention (orange) and alarm cut (red), those "
        "of A upright, those of B level. Grey line: equal scores.",
        "蓝色：结论相同的记录，越深越多。虚线：关注界限（橙）与报警界限（红），竖线为 A，横线为 B。灰线：分数相等。",
    ),
    "p_diff_marks": (
        "Marks: records whose verdict changed; point at one for its name.",
        "标记：结论改变的记录，指向可见其名。",
    ),
    "diff_unseen": ("Records without a score in A or B, not drawn: {n}.", "在 A 或 B 中没有分数、未画出的记录：{n} 条。"),
    "diff_undrawn": ("Changed records beyond the first drawn: {n}.", "另有 {n} 条改变的记录未画出。"),
    "diff_now": ("{level} in B", "在 B 中为{level}"),
    "diff_axis": ("score in {run}", "{run} 的分数"),
    "h_diff_causes": ("What changed the verdicts", "结论因何改变"),
    "p_diff_causes": (
        "Changed verdicts by the part of the run that is why. Orange: to a higher level; blue: to a lower one; grey: from or to "
        "no judgement. A dash: this part was set alike.",
        "按原因所在部分统计改变的结论。橙色：级别升高；蓝色：级别降低；灰色：变为或不再是无法判定。横线：该部分设置相同。",
    ),
    "diff_raised": ("to a higher level", "级别升高"),
    "diff_lowered": ("to a lower level", "级别降低"),
    "diff_unjudged": ("from or to no judgement", "变为或不再是无法判定"),
    "h_diff_changed": ("Records whose verdict changed", "结论改变的记录"),
    "diff_more": ("{n} more: vibro diff --json lists all.", "另有 {n} 条：vibro diff --json 列出全部。"),
    "diff_level": ("level in {run}", "{run} 的级别"),
    "diff_cause": ("cause", "原因"),
    "part_data": ("data", "数据"),
    "part_view": ("view", "视图"),
    "part_detector": ("detector", "检测器"),
    "part_calibration": ("calibration", "校准"),
    "part_weight": ("weight", "权重"),
    "part_cut": ("cut", "界限"),
    "part_scores": ("raw scores", "原始分数"),
    "part_several": ("several together", "多项共同"),
    "part_unknown": ("unknown", "未知"),
    "or": (" or ", "或"),
    "and": (", ", "，"),
    "is": (": ", "："),
    "made_by": (
        "made by vibro {version}; this page loads no external content",
        "由 vibro {version} 生成；本页不加载任何外部内容",
    ),
}  # fmt: skip


def texts(lang: str) -> dict[str, str]:
    """The texts of one language; ConfigError for a language that is not there."""
    if lang not in LANGUAGES:
        raise ConfigError(f"language {lang!r} is not known", hint="use --lang en or --lang zh")
    return {key: both[LANGUAGES.index(lang)] for key, both in _TEXTS.items()}
