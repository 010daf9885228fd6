"""The words of the simulated shop, as data: what it sells, and what its shoppers type.

A template's slots: {what} a kind of goods, {brand} and {other} two of its brands, {feature} a
property that people ask for, {price} a round price, {order} an order's number, {n} a small number.
"""

from typing import Literal, NamedTuple

Language = Literal["zh", "en"]


class Category(NamedTuple):
    """`low` and `high` bound usual prices, in whole units of the currency."""

    path: str
    low: int
    high: int
    brands: tuple[str, ...]
    what: dict[Language, str]
    features: dict[Language, tuple[str, ...]]


def _category(
    path: str,
    low: int,
    high: int,
    brands: str,
    zh: str,
    zh_features: str,
    en: str,
    en_features: str,
) -> Category:
    return Category(
        path,
        low,
        high,
        tuple(brands.split()),
        {"zh": zh, "en": en},
        {"zh": tuple(zh_features.split()), "en": tuple(en_features.split(", "))},
    )


# Brands are invented.
CATEGORIES = (
    _category(
        "electronics.audio.headphones", 15, 320, "sonarel klangwerk 云听 pebbletone",
        "蓝牙耳机", "降噪 入耳式 长续航 运动 头戴式",
        "wireless headphones", "noise cancelling, in-ear, long battery, for running, over-ear",
    ),
    _category(
        "electronics.smartphone", 120, 1100, "northpeak 星砺 vireon",
        "手机", "5G 大电池 拍照好 256G 双卡",
        "smartphone", "5G, big battery, good camera, 256GB, dual sim",
    ),
    _category(
        "electronics.wearable.watch", 40, 420, "vireon tempora 跃时",
        "智能手表", "测心率 防水 女款 GPS 儿童",
        "smart watch", "heart rate, waterproof, for women, GPS, for kids",
    ),
    _category(
        "computers.notebook", 350, 2100, "northpeak quillon 墨思",
        "笔记本电脑", "轻薄 游戏 16G内存 办公 触摸屏",
        "laptop", "lightweight, for gaming, 16GB ram, for work, touchscreen",
    ),
    _category(
        "computers.peripherals.keyboard", 18, 190, "quillon tactra 敲敲",
        "机械键盘", "红轴 静音 无线 87键 背光",
        "mechanical keyboard", "red switches, silent, wireless, compact, backlit",
    ),
    _category(
        "appliances.kitchen.coffee_machine", 45, 680, "morello brewhaus 晨醒",
        "咖啡机", "全自动 家用 意式 小型 打奶泡",
        "coffee machine", "fully automatic, for home, espresso, small, milk frother",
    ),
    _category(
        "appliances.kitchen.air_fryer", 40, 210, "brewhaus 灶小厨 crispora",
        "空气炸锅", "大容量 可视 不粘 双层 5升",
        "air fryer", "large, with window, non-stick, double basket, 5 litre",
    ),
    _category(
        "appliances.environment.vacuum", 70, 640, "dustrix aerolane 净屋",
        "吸尘器", "无线 扫地机器人 宠物毛 手持 低噪音",
        "vacuum cleaner", "cordless, robot, for pet hair, handheld, quiet",
    ),
    _category(
        "apparel.shoes.running", 35, 180, "stridewell 飞迈 kestrel",
        "跑鞋", "男款 女款 缓震 42码 透气",
        "running shoes", "for men, for women, cushioned, size 9, breathable",
    ),
    _category(
        "apparel.outerwear.jacket", 40, 260, "kestrel fjordline 山岚",
        "冲锋衣", "防水 三合一 女款 加绒 轻便",
        "rain jacket", "waterproof, 3-in-1, for women, lined, packable",
    ),
    _category(
        "apparel.bags.backpack", 22, 150, "fjordline carrymore 行囊",
        "双肩包", "大容量 15寸电脑 防泼水 学生 通勤",
        "backpack", "large, fits 15 inch laptop, water resistant, for school, for commuting",
    ),
    _category(
        "beauty.skincare.cream", 9, 130, "lumiva 初雪 dermaline",
        "面霜", "保湿 敏感肌 抗皱 无香 男士",
        "face cream", "moisturising, for sensitive skin, anti-ageing, unscented, for men",
    ),
    _category(
        "home.furniture.chair", 60, 480, "sitwell 木作坊 northoak",
        "办公椅", "人体工学 可躺 护腰 网布 带脚托",
        "office chair", "ergonomic, reclining, lumbar support, mesh, with footrest",
    ),
    _category(
        "home.bedding.duvet", 30, 240, "nestling 眠云 northoak",
        "被子", "春秋 羽绒 双人 可水洗 儿童",
        "duvet", "all season, down, double, washable, for kids",
    ),
    _category(
        "kids.toys.blocks", 10, 140, "brickolo 积趣 tinkertown",
        "积木", "3岁 大颗粒 机械组 男孩 磁力",
        "building blocks", "for 3 year olds, large pieces, mechanical set, for girls, magnetic",
    ),
    _category(
        "sport.fitness.yoga_mat", 10, 85, "asanova 舒练 kestrel",
        "瑜伽垫", "加厚 防滑 天然橡胶 可折叠 加宽",
        "yoga mat", "thick, non-slip, natural rubber, foldable, extra wide",
    ),
    _category(
        "grocery.tea", 6, 90, "leafhouse 山语 morello",
        "茶叶", "绿茶 礼盒 乌龙 散装 明前",
        "loose leaf tea", "green, gift box, oolong, organic, earl grey",
    ),
    _category(
        "pets.food.cat", 8, 75, "whiskerly 喵粮仓 purelane",
        "猫粮", "幼猫 无谷 10公斤 鸡肉味 去毛球",
        "cat food", "for kittens, grain free, 10 kg, chicken, hairball",
    ),
)  # fmt: skip

# What is typed, by the intent behind it; of these, searches and messages to the shop's service.
QUERIES: dict[str, dict[Language, tuple[str, ...]]] = {
    "search": {
        "zh": (
            "{feature}{what}哪款口碑好", "{what}要{feature}的", "{brand}家的{what}", "{feature}的{what}",
            "求推荐{what}",
            "适合送礼的{what}", "{brand}{what}{feature}款", "找{what}", "新款{what}",
        ),
        "en": (
            "{what} bestsellers", "{what}, must be {feature}", "{what} made by {brand}",
            "{brand} {what} ({feature})",
            "best {what}", "{what} as a gift", "new {what}", "{what} that is {feature}",
            "everything in {what}",
        ),
    },
    "compare": {
        "zh": (
            "{brand}和{other}{what}哪个好", "{what} {brand} 对比 {other}", "{brand}还是{other}",
            "{what}排行榜 {feature}", "{brand} {other} {what}区别",
        ),
        "en": (
            "{brand} vs {other} {what}", "{brand} or {other}", "compare {what} {brand} {other}",
            "difference between {brand} and {other} {what}", "top 10 {what} {feature}",
        ),
    },
    "price": {
        "zh": (
            "{what} 不超过{price}块", "便宜的{what}", "{brand}{what}多少钱", "{what} 特价",
            "{what}优惠券",
        ),
        "en": (
            "{what} max {price} dollars", "cheap {what}", "{brand} {what} price", "{what} on sale",
            "{what} discount code",
        ),
    },
    "availability": {
        "zh": (
            "{brand}{what}现货", "{what} {feature} 有货", "{what}次日达",
        ),
        "en": (
            "{brand} {what} in stock", "{what} next day delivery",
            "{feature} {what} available now",
        ),
    },
}  # fmt: skip

MESSAGES: dict[str, dict[Language, tuple[str, ...]]] = {
    "search": {
        "zh": (
            "你们有{feature}的{what}吗，帮我推荐一款",
            "想买个{what}，预算{price}左右，有什么推荐", "送妈妈的{what}选哪款好",
        ),
        "en": (
            "do you carry any {what} that is {feature}?",
            "can you suggest {what} for around {price}?",
            "looking for {what} for my mum, any ideas",
        ),
    },
    "compare": {
        "zh": (
            "{brand}和{other}这两款{what}有什么区别？", "纠结买{brand}还是{other}，哪个更耐用",
            "这款{what}比{other}好在哪里",
        ),
        "en": (
            "what is the difference between the {brand} and the {other} one?",
            "torn between {brand} and {other}, which lasts longer?",
            "is this {what} better than {other} and why",
        ),
    },
    "price": {
        "zh": (
            "这款{what}还能便宜点吗", "{price}的券怎么用不了", "下周会降价吗？",
            "买{n}件有折扣吗",
        ),
        "en": (
            "any chance of a better price on this {what}?", "my {price} voucher is not applied",
            "will it be cheaper next week?", "is there a discount if I buy {n}?",
        ),
    },
    "availability": {
        "zh": (
            "{what}补货还要等多久？", "这个有{feature}的现货吗", "今天下单几天能到", "能送到乡镇吗",
        ),
        "en": (
            "any idea when more of the {what} arrive?",
            "do you have the {feature} version right now?",
            "if I order today when does it arrive?", "do you deliver to the islands?",
        ),
    },
    "order_status": {
        "zh": (
            "我的订单{order}到哪了", "买的{what}都{n}天了还没发货", "快递{n}天没更新了，帮我查下",
            "显示已签收但我没收到{what}",
        ),
        "en": (
            "has order {order} left the warehouse?", "I ordered {what} {n} days ago and it has not shipped",
            "tracking has not moved for {n} days, can you check",
            "it says delivered but there is no {what} here",
        ),
    },
    "return_refund": {
        "zh": (
            "{what}不合适，想退货", "订单{order}怎么申请退款", "可以换一个{feature}的吗",
            "退款{n}天了还没到账",
        ),
        "en": (
            "the {what} does not suit me, how do I send it back?",
            "I want a refund for order {order}", "can I swap it for the {feature} one?",
            "I returned it {n} days ago and have no money yet",
        ),
    },
    "payment": {
        "zh": (
            "付款一直失败怎么办", "支持分期吗", "我被扣了两次钱", "能开发票吗",
        ),
        "en": (
            "my card keeps getting declined", "can I pay in instalments?", "I was charged twice",
            "I need an invoice with my company name",
        ),
    },
    "complaint": {
        "zh": (
            "{what}用了{n}天就坏了，太失望了", "客服一直不回复，什么态度",
            "收到的{what}有划痕，质量太差", "发错货了，我要投诉",
        ),
        "en": (
            "the {what} broke after {n} days, really disappointed",
            "nobody answers me, terrible service", "the {what} arrived scratched, awful quality",
            "you sent the wrong thing again!",
        ),
    },
    "other": {
        "zh": (
            "嗨，有人接待吗", "好的我知道了", "先这样，回头再聊", "你们几点下班",
        ),
        "en": (
            "good day to the team", "cheers, that is all", "anybody around to chat?",
            "which days is this chat staffed",
        ),
    },
}  # fmt: skip
