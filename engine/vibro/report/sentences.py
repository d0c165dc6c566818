"""The catalogue of sentences: English as it is said, and Chinese; ``vibro.report.messages`` says how it is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Pairs = Sequence[tuple[str, str]]

_DO: Pairs = (
    (
        "sensor {sensor} of machine {machine} deviates alone: look at the sensor and its mounting first",
        "设备 {machine} 的传感器 {sensor} 单独偏离：请先检查该传感器及其安装",
    ),
    (
        "{n#} sensors deviate alone on their machines ({names}): look at the sensor and its mounting first",
        "{n} 个传感器在各自设备上单独偏离（{names}）：请先检查传感器及其安装",
    ),
    (
        "machine {machine} at {time}, its newest instant: {n#} [sensor stands|sensors stand] out at once and impulsively,"
        " as in a transient; only a later instant can show it, until then the level stands",
        "设备 {machine} 在最新时刻 {time} 有 {n} 个传感器同时突出且呈冲击性，类似瞬态；须待下一时刻才能确定，在此之前级别不变",
    ),
    (
        "the fit seems to hold faults, rows far out: {which}; fit on the time before with --fit-on until:{until}, or on the"
        " first part of each life with --fit-on first:0.2",
        "拟合数据中似乎含有故障（远离正常的记录：{which}）；可用 --fit-on until:{until} 只用此前的数据拟合，"
        "或用 --fit-on first:0.2 只用各传感器最初一段",
    ),
    (
        "the fit seems to hold faults, rows far out: {which}; fit on the time before with --fit-on until:{until}",
        "拟合数据中似乎含有故障（远离正常的记录：{which}）；可用 --fit-on until:{until} 只用此前的数据拟合",
    ),
    (
        "the fit seems to hold faults, rows far out over all its time: {which}; with records known to be normal fit on"
        " those: --labels FILE --fit-on normal",
        "拟合数据中似乎始终含有故障（远离正常的记录：{which}）；若已知哪些记录正常，请用 --labels FILE --fit-on normal",
    ),
    (
        "{n#} [record raises|records raise] an alarm although [its|their] operating state{of} lies beyond those that the"
        " model was fitted on: look at that state first",
        "{n} 条记录报警，但其工况{of}超出模型拟合时的范围：请先核对该工况",
    ),
    (
        "{n#} [record lies|records lie] before {time}, the first time that the model has seen: check the clock",
        "{n} 条记录早于模型所见的最早时间 {time}：请检查时钟",
    ),
    (
        "fs was estimated from the comb of the mains as {fs#} Hz; give --fs to be sure",
        "采样率由工频谐波估计为 {fs} Hz；如要确定，请给出 --fs",
    ),
    (
        "the lines of the records are those of the mains at {a#} Hz, not at {b#} Hz (Q013): check fs",
        "记录的谱线在采样率 {a} Hz 而非 {b} Hz 下才符合工频（Q013）：请检查采样率",
    ),
    (
        "{n#} records of sensor {sensor} hold the same samples (Q021)",
        "传感器 {sensor} 有 {n} 条记录样本完全相同（Q021）：请检查采集",
    ),
    ("{file}: {what} (Q025)", "{file}：{what}（Q025）"),
    (
        "{a}; vibro threshold RUN --method {method} would catch {shares}",
        "{a}；vibro threshold RUN --method {method} 可检出 {shares}",
    ),
    (
        "{a}; no cut within the budget catches more; vibro threshold RUN --budget {budget#} would catch {shares}",
        "{a}；预算内没有更好的界限；vibro threshold RUN --budget {budget} 可检出 {shares}",
    ),
)

_TRUST: Pairs = (
    (
        "{n#} of {all#} records [lacks|lack] companions, the other sensors of [its|their] machine at [its|their] instant:"
        " {names} [gives|give] [it|them] no score{others?}",
        "{all} 条记录中有 {n} 条在同一时刻没有同设备的其他传感器：{names} 对其不给出分数{others}",
    ),
    (
        "{n#} of {all#} records [is of a sensor|are of sensors] that had too few instants in common with others at the fit:"
        " {names} [gives|give] [it|them] no score{others?}",
        "{all} 条记录中有 {n} 条来自拟合时与其他传感器共同时刻过少的传感器：{names} 对其不给出分数{others}",
    ),
    (
        "{n#} of {all#} records [is of a sensor|are of sensors] that {name} is not for{others?}",
        "{all} 条记录中有 {n} 条来自 {name} 不适用的传感器{others}",
    ),
    (
        "{n#} of {all#} records [gets|get] no verdict: the detectors that give [it|them] a score have less than {quorum#} of"
        " the weight ({names})",
        "{all} 条记录中有 {n} 条没有结论：给出分数的检测器权重不足 {quorum}（{names}）",
    ),
    (
        "folders that tell a state name no machine: {names} (--machine-from PATTERN says otherwise)",
        "表示状态的文件夹不作为设备名：{names}（可用 --machine-from PATTERN 另行指定）",
    ),
    (
        "names of files hold {word} {numbers}, which are one sensor now: {option} tells them apart",
        "文件名含 {word} {numbers}，现视为同一传感器：{option} 可加以区分",
    ),
    (
        "folders {twins} count as machines of their own, each with its own baseline: if both are {name}, {option}",
        "文件夹 {twins} 各作为一台设备并各有基线：若同为 {name}，请用 {option}",
    ),
    (
        "--{name} has no effect: files of this kind ({kinds}) do not take it",
        "--{name} 不起作用：此类文件（{kinds}）不接受该选项",
    ),
    (
        "worker processes could not read some files, which were then read without them: {why}",
        "工作进程未能读取部分文件，改为不用工作进程读取：{why}",
    ),
    ("no sensor_id: all records share one baseline", "没有 sensor_id：所有记录共用一个基线"),
    (
        "sensors are named after their {parts}, the machine after the folder {folder}",
        "传感器以{parts}命名，设备以文件夹 {folder} 命名",
    ),
    ("sensors are named after their {parts}", "传感器以{parts}命名"),
    (
        "times name no zone and were read as UTC; --tz ZONE says another",
        "时间未注明时区，按 UTC 读取；可用 --tz ZONE 另行指定",
    ),
    ("times name no zone and are in {zone}", "时间未注明时区，按 {zone} 读取"),
    ("{note} ({n#} files, {file} first)", "{note}（{n} 个文件，首个为 {file}）"),
    (
        "no machine_id: every sensor counts as a machine of its own; --sensors TABLE names the machines",
        "没有 machine_id：每个传感器各作为一台设备；可用 --sensors TABLE 指明设备",
    ),
    (
        "{records} [raises an alarm|raise alarms] too seldom for an alarm of the machine ({rule}): attention of {machines}",
        "{records}报警，但不够频繁，不构成设备报警（规则：{rule}）：{machines}列为关注",
    ),
    (
        "{sensors} [keeps|keep] up an alarm without a second one at the same instants that would make it an alarm of the"
        " machine: attention of {machines}",
        "{sensors}持续报警，但同一时刻没有第二个传感器，不构成设备报警：{machines}列为关注",
    ),
    (
        "{n#} of {alarms} [rests|rest] on few detectors: most of the weight stays below its own cuts (column agreement)",
        "{alarms}中有 {n} 个仅由少数检测器给出：多数权重低于自身界限（见 agreement 列）",
    ),
    (
        "{records} [is|are] no alarm though over the own cuts of most detectors: each of them is over by little, and the"
        " fused score stays below its cut (column agreement)",
        "{records}虽超过多数检测器的自身界限，但各自仅略超，融合分数低于报警界限，故未报警（见 agreement 列）",
    ),
    (
        "{records} over the alarm cut [counts|count] as attention: [its|their] operating state{of} lies beyond those"
        " that the model was fitted on, where it does not know what is normal",
        "{records}超过报警界限，列为关注：其工况{of}超出模型拟合时的范围，模型不知该处何为正常",
    ),
    ("the alarm cut by {method}: {why}", "报警界限（方法 {method}）：{why}"),
    (
        "{share} of the records lie above the {level} cut, for a budget of {budget}: {what}",
        "{share} 的记录超过{level}界限，预算为 {budget}：{what}",
    ),
    (
        "{share} of the records lie above the {level} cut ({n#} of them are held back, see their reason), for a budget of"
        " {budget}: {what}",
        "{share} 的记录超过{level}界限（其中 {n} 条未按此判定，见其原因），预算为 {budget}：{what}",
    ),
    ("{a}; no cut at a budget up to {budget#} reaches half of them", "{a}；预算到 {budget} 为止没有界限能检出其一半"),
    (
        "{n#} of {all#} records [lacks|lack] {names}, which the model was fitted with: [it is|they are] judged by its"
        " calibration without covariates",
        "{all} 条记录中有 {n} 条缺少模型所用的 {names}：按不含工况量的校准判定",
    ),
    (
        "no covariates were given: conditioned views equal the views they condition",
        "未给出工况量：按工况修正的视图与原视图相同",
    ),
    (
        "the model does not know {who}: {records} judged by the calibration of all its sensors",
        "模型不认识 {who}：{records}按其全部传感器的校准判定",
    ),
    (
        "{groups} of fewer than 2 sensors or {n#} records to fit on: compared with all sensors",
        "{groups}不足 2 个传感器或 {n} 条拟合记录：按全体传感器比较",
    ),
    (
        "{n#} [sensor has|sensors have] no record in the baseline {fit_on} and [is|are] judged by the others': {names}",
        "{n} 个传感器在基线 {fit_on} 中没有记录，按其他传感器判定：{names}",
    ),
    (
        "{n#} [record holds|records hold] little of the mains and its harmonics (Q017)",
        "{n} 条记录几乎不含工频及其谐波（Q017）",
    ),
    ("{n#} [record holds|records hold] lone spikes of the converter (Q023)", "{n} 条记录含转换器的孤立尖峰（Q023）"),
    (
        "{n#} [record stands|records stand] at about 1,000 times the level of [its|their] sensor, or a thousandth (Q024)",
        "{n} 条记录的电平约为其传感器的 1000 倍或千分之一（Q024）",
    ),
    (
        "{n#} [record hardly moves|records hardly move] beside [its|their] mean (Q014)",
        "{n} 条记录几乎不偏离其均值（Q014）",
    ),
    ("{n#} [record|records] had gaps that were interpolated (Q007)", "{n} 条记录的缺口已插值补齐（Q007）"),
    (
        "the run learned from these labels: the figures on them are optimistic",
        "本次运行从这些标签中学习：基于它们的指标偏乐观",
    ),
)

_KNOW: Pairs = (
    ("{names} off: {why}", "{names} 未启用：{why}"),
    (
        "high scores adjoined in time far more often than by chance when the model was fitted, so levels follow the score with"
        " its neighbours (column persistent_score): {held} over the alarm cut by score alone [is|are] below it, {raised}"
        " below it [is|are] over",
        "拟合时高分在时间上相邻的次数远多于偶然，故级别依据含相邻时刻的分数（persistent_score 列）："
        "{held}单看分数超过报警界限而未报警，{raised}单看分数未超过而报警",
    ),
    (
        "{transients} (at once on most sensors of a machine, impulsive, gone at the next instant): {when}; {records} of theirs"
        " above the alarm cut [counts|count] as attention, not as alarm",
        "{transients}（同一时刻出现在设备多数传感器上，呈冲击性，下一时刻消失）：{when}；其中{records}超过报警界限，列为关注而非报警",
    ),
    (
        "{records} over a cut [counts|count] as normal: [it was|they were] labelled normal or benign, or [lies|lie] as near"
        " to a benign one as normal records to each other",
        "{records}超过界限，计为正常：已标为正常或无害，或与无害记录的接近程度如同正常记录之间",
    ),
    ("{name} finds little of what the other members find; weight 0", "{name} 与其他检测器所见少有相同；权重为 0"),
    ("{name} is dead: its scores hardly vary; weight 0", "{name} 无效：其分数几乎不变；权重为 0"),
    (
        "{name} is inverted: it ranks records against the other members; weight 0",
        "{name} 反向：其排序与其他检测器相反；权重为 0",
    ),
    (
        "{name} contradicts the only other member, and nothing tells which of the two is right",
        "{name} 与唯一的另一检测器矛盾，无从判断孰是",
    ),
    (
        "detectors that learned from some of the {n#} fit rows, evenly spread: {names}",
        "只用部分训练行（共 {n} 行，均匀抽取）学习的检测器：{names}",
    ),
    (
        "training told held-out records from disturbed copies no better, and was undone: {names}",
        "训练未能更好地区分留出记录与受扰副本，已撤销：{names}",
    ),
    (
        "{n#} groups of sensors with like spectra were found, those of {names}: sensors with few records borrow from their"
        " group; a column group of --sensors overrules this",
        "发现 {n} 组频谱相近的传感器，分别以 {names} 为代表：记录少的传感器参照本组；--sensors 表的 group 列优先于此",
    ),
    ("{name} repeats another member; they share one prior weight", "{name} 与另一检测器重复；两者共用一份权重"),
    (
        "auditioned: no injected fault was detected or none was tried; the weights are equal",
        "auditioned：未检出或未试验注入故障；各检测器权重相等",
    ),
    (
        "stack: labels of both classes are needed to learn weights; the plain mean is used",
        "stack：学习权重需要两类标签；此处取平均",
    ),
    (
        "{name} detects no injected fault: constant, inverted or blind; weight 0",
        "{name} 未检出任何注入故障（恒定、反向或无感）；权重为 0",
    ),
    (
        "{name} could not be tried on injected faults: it counts like the mean of the others",
        "{name} 无法用注入故障试验：按其余检测器的平均计入",
    ),
    (
        "{a} and {b} rank the records alike (correlation {value#})",
        "{a} 与 {b} 对记录的排序几乎相同（相关系数 {value}）",
    ),
    ("fuser.weights: {name} gave no scores; the other weights were scaled up", "{name} 未给出分数；其余权重按比例放大"),
    (
        "{records} in {own} [was|were] converted to {target}: times {factor}",
        "单位为 {own} 的{records}已换算为 {target}：乘以 {factor}",
    ),
    ("the data state none, so the model's is taken: {what}", "数据未注明，取模型的值：{what}"),
    ("{n#} of {all#} records [has|have] no row in {file}", "{all} 条记录中有 {n} 条在 {file} 中没有对应行"),
    (
        "{n#} [row|rows] of {file} [matches|match] no record, the first on line {line#}",
        "{file} 中有 {n} 行没有对应记录，首个在第 {line} 行",
    ),
    ("{n#} [sensor|sensors] of {file} [has|have] no record: {names}", "{file} 中有 {n} 个传感器没有记录：{names}"),
    (
        "{n#} [sensor is|sensors are] not in {file} and [keeps its|keep their] machine: {names}",
        "{n} 个传感器不在 {file} 中，保留其原有设备：{names}",
    ),
)

SENTENCES: Mapping[str, Pairs] = {"do": _DO, "trust": _TRUST, "know": _KNOW}

PHRASES: Pairs = (
    ("error", "错误"),
    ("hint", "提示"),
    (", the other detectors judge [it|them]", "，由其余检测器判定"),
    (": the other detectors judge [it|them]", "：由其余检测器判定"),
    ("1 record", "1 条记录"),
    ("{n#} records", "{n} 条记录"),
    ("1 alarm", "1 个报警"),
    ("{n#} alarms", "{n} 个报警"),
    ("1 sensor", "1 个传感器"),
    ("{n#} sensors", "{n} 个传感器"),
    ("{share} of {machine} after {time}, {rest}", "{machine} 在 {time} 之后的 {share}，{rest}"),
    ("{share} of {machine} after {time}", "{machine} 在 {time} 之后的 {share}"),
    ("{share#}% of {machine}, {rest}", "{machine} 的 {share}%，{rest}"),
    ("{share#}% of {machine}", "{machine} 的 {share}%"),
    ("1 sensor ({names})", "1 个传感器（{names}）"),
    ("{n#} sensors ({names})", "{n} 个传感器（{names}）"),
    ("1 transient", "1 次瞬态"),
    ("{n#} transients", "{n} 次瞬态"),
    ("machine {name}", "设备 {name}"),
    ("{n#} machines ({names})", "{n} 台设备（{names}）"),
    ("{names} and {n#} more", "{names} 等，另 {n} 个"),
    ("{k#} of {n#} consecutive instants", "连续 {n} 个时刻中有 {k} 个"),
    (
        "one in five records of a sensor, as no times are given",
        "无时间，故以每个传感器五分之一的记录计",
    ),
    ("attention", "关注"),
    ("alarm", "报警"),
    ("the cut is cautious", "界限偏保守"),
    ("faults, or the data differ from those of the fit", "存在故障，或数据与拟合时不同"),
    ("nearly all of them since the alarm of {machines} began", "几乎全部在{machines}开始报警之后"),
    (
        "of injected faults of severity {severity#} only {shares} raise an alarm, at least half from severity {rest} on",
        "严重度 {severity} 的注入故障中仅 {shares}报警；自严重度 {rest} 起至少一半报警",
    ),
    (
        "of injected faults of severity {severity#} only {shares} raise an alarm",
        "严重度 {severity} 的注入故障中仅 {shares}报警",
    ),
    ("{a} % of {kinds}, {rest}", "{kinds} {a} %，{rest}"),
    ("{a} % of {kinds}", "{kinds} {a} %"),
    ("{severity#} ({kinds}), {rest}", "{severity}（{kinds}），{rest}"),
    ("{severity#} ({kinds}) and {rest}", "{severity}（{kinds}）及 {rest}"),
    ("{severity#} ({kinds})", "{severity}（{kinds}）"),
    ("level", "电平"),
    ("bearing: {part}", "轴承：{part}"),
    ("outer race", "外圈"),
    ("inner race", "内圈"),
    ("rolling element", "滚动体"),
    ("cage", "保持架"),
    ("repeating impacts", "重复冲击"),
    ("band: risen", "频带：上升"),
    ("core: DC bias", "铁心：直流偏磁"),
    ("core: loose clamping", "铁心：夹紧松动"),
    ("gear: damaged tooth", "齿轮：齿损伤"),
    ("level: fallen", "电平：下降"),
    ("level: risen", "电平：上升"),
    ("motor: rotor bars", "电机：转子导条"),
    ("motor: stator or air gap", "电机：定子或气隙"),
    ("sensor: clipping", "传感器：削波"),
    ("sensor: dead", "传感器：失效"),
    ("sensor: drift or settling", "传感器：漂移或稳定过程"),
    ("sensor: dropout", "传感器：丢失"),
    ("sensor: electrical interference", "传感器：电气干扰"),
    ("sensor: gain", "传感器：增益"),
    ("sensor: loose mount", "传感器：安装松动"),
    ("sensor: offset", "传感器：偏置"),
    ("sensor: spikes", "传感器：尖峰"),
    ("sensor: wrong sampling rate", "传感器：采样率错误"),
    ("shaft: imbalance", "轴：不平衡"),
    ("shaft: impacts once a revolution", "轴：每转一次冲击"),
    ("shaft: looseness", "轴：松动"),
    ("shaft: misalignment", "轴：不对中"),
    ("tap changer: operation", "分接开关：动作"),
    ("tap changer: wear", "分接开关：磨损"),
    ("winding: deformation", "绕组：变形"),
    ("winding: loose clamping", "绕组：夹紧松动"),
    ("cooling: fan or pump", "冷却：风机或油泵"),
    ("channel", "通道"),
    ("folder", "文件夹"),
    ("harmonics", "谐波"),
    ("band noise", "带内噪声"),
    ("impacts", "冲击"),
    ("{a}, {b} and {c}", "{a}、{b} 和 {c}"),
    ("{a} and {b}", "{a} 和 {b}"),
    (
        "the clock of sensor {sensor} goes back from {a} to {b} at row {row#}, {n#} times in all",
        "传感器 {sensor} 的时钟在第 {row} 行由 {a} 倒退到 {b}，共 {n} 次",
    ),
    (
        "{n#} [record has|records have] a time in 1970 or before: the clock was not set",
        "{n} 条记录的时间在 1970 年或以前：时钟未设定",
    ),
)
