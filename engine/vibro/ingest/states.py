"""Folder names that tell a state (normal, fault, 内圈故障) or a part of a data set (train, 测试): they name no machine."""

from __future__ import annotations

import re
from functools import cache


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_STATES = _words(
    """
    normal abnormal ball anomaly anomalies anomalous healthy unhealthy good bad ok nok ng faulty fault faults failure failures
    failed defect defects defective damage damaged broken worn wear crack cracked baseline
    inner outer ir or innerrace outerrace cage combination compound unbalance unbalanced imbalance imbalanced
    misalignment misaligned looseness loose bent eccentric eccentricity chipped spall spalling pitting rub rubbing
    cavitation leak leakage clogged blocked contamination unlabeled unlabelled labeled labelled
    train training test testing val valid validation dev eval evaluation
    """
)
_BESIDE = _words(  # these say nothing alone, and nothing new beside a state
    """
    balls roller rollers rolling element elements race races ring rings raceway tooth teeth missing bearing gear
    rotor shaft data dataset datasets set sets sample samples class classes condition conditions state states type types
    level severity size and of the with in source target mm mil mils inch inches hp rpm hz khz k de fe
    slight light mild moderate medium severe heavy early late
    one two three four five six seven eight nine ten more other real
    """
)
_STATES_ZH = _words(
    """
    正常 异常 不正常 非正常 故障 无故障 健康 不健康 缺陷 无缺陷 损坏 损伤 磨损 裂纹 断裂 断齿 缺齿 点蚀 剥落 失效
    内圈 外圈 滚动体 滚珠 保持架 复合 不平衡 不对中 松动 偏心 弯曲 碰摩 泄漏 堵塞 良好 合格 不合格
    训练 训练集 测试 测试集 验证 验证集
    """
)
_BESIDE_ZH = _words(
    """
    数据 数据集 状态 样本 类 类型 集 级 工况 运行 的 和 与
    轴承 齿轮 转子 轻微 轻度 中度 中等 严重 重度 早期 晚期
    """
)
_STATE_ZH = re.compile("|".join(sorted(_STATES_ZH, key=len, reverse=True)))
_WORD = re.compile(r"[^\W\d_]+")
_CJK = re.compile(r"[\u4e00-\u9fff]+")


def names_state(folder: str, named: frozenset[str] = frozenset()) -> bool:
    """Whether a folder's name tells a state and nothing else; ``named`` holds names that the user says do.

    Every word of the name must be known: ``inner_race`` and ``0_normal`` tell a state, ``outer pump`` may be a machine.
    """
    return folder in named or _by_words(folder)


def without_state(folder: str) -> str:
    """The name without the words that tell a state (``pump_normal`` is ``pump``); as it is where nothing would be left."""
    plain = _STATE_ZH.sub("", folder)
    kept = [part for part in re.split(r"([^\W\d_]+)", plain) if not any(state for state, _ in _split(part))]
    rest = re.sub(r"[\W_]{2,}", "_", "".join(kept)).strip("_-. ")
    return rest if any(c.isalnum() for c in rest) else folder


@cache
def _by_words(folder: str) -> bool:
    words = [part for word in _WORD.findall(folder) for part in _split(word)]
    return any(state for state, _ in words) and all(known for _, known in words)


def _split(word: str) -> list[tuple[bool, bool]]:
    """Of a word, or of a run of Chinese characters: whether it tells a state, and whether it is known at all."""
    if _CJK.fullmatch(word):
        return _chinese(word)
    if _CJK.search(word):
        return [pair for part in re.findall(r"[\u4e00-\u9fff]+|[^\u4e00-\u9fff]+", word) for pair in _split(part)]
    lower = word.lower()
    if lower in _STATES or lower in _BESIDE:
        return [(lower in _STATES, True)]
    humps = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", word)  # InnerRace
    if len(humps) > 1 and "".join(humps) == word:
        return [pair for hump in humps for pair in _split(hump)]
    return [(False, False)]


def _chinese(run: str) -> list[tuple[bool, bool]]:
    """The run parted into known words, the longest first; unknown where it cannot be."""
    reached: dict[int, list[tuple[bool, bool]]] = {0: []}
    for end in range(1, len(run) + 1):
        for start in range(max(0, end - 4), end):
            word = run[start:end]
            if start in reached and (word in _STATES_ZH or word in _BESIDE_ZH):
                found = [*reached[start], (word in _STATES_ZH, True)]
                if end not in reached or any(state for state, _ in found):
                    reached[end] = found
    return reached.get(len(run), [(False, False)])
